//! The writes of a key that have not ended, read from the queue.

use std::sync::Arc;

use super::fields::Completeness;
use crate::{
    engine::known_requests::{KnownRequest, KnownRequests},
    error::Error,
    store::{contracts::queue::Queue, position::Position},
    write_queue::{WriteId, request::QueuedRequest},
};

/// The writes of a key that had not ended when the queue was asked.
#[derive(Debug)]
pub(super) struct PendingRequests {
    /// Oldest first.
    pub(super) requests: Vec<Arc<QueuedRequest>>,
    /// The position of the key's last ended attempt, if that was a moment ago.
    pub(super) last_end: Position,
    /// Whether `requests` are those of all writes: a record may be missing, or unreadable.
    pub(super) completeness: Completeness,
}

impl PendingRequests {
    /// Asks the queue; requests that this process knows are not read again.
    ///
    /// # Errors
    ///
    /// If the queue cannot be reached.
    pub(super) async fn read(
        queue: &dyn Queue,
        known: &KnownRequests,
        key: &str,
    ) -> Result<Self, Error> {
        let mut rounds = MAX_ROUNDS;
        loop {
            rounds -= 1;
            let pending = queue.ask(key).await?;
            let found = load(queue, known, key, &pending.ids).await?;
            // A write without a record has ended, or another one has taken its place, since the queue
            // was asked: the answer is out of date.
            let is_current = found.iter().all(Option::is_some);
            if !is_current && rounds > 0 {
                continue;
            }
            let is_complete = found.iter().all(|known| matches!(known, Some(Some(_))));
            return Ok(Self {
                requests: found.into_iter().flatten().flatten().collect(),
                last_end: pending.last_end,
                completeness: match is_complete {
                    true => Completeness::Complete,
                    false => Completeness::Unknown,
                },
            });
        }
    }
}

/// How often the queue is asked if writes end in between. A record that something else has removed
/// stays missing.
const MAX_ROUNDS: u32 = 3;

/// The requests of these writes, in their order; `None` for those that the queue no longer has.
async fn load(
    queue: &dyn Queue,
    known: &KnownRequests,
    key: &str,
    ids: &[WriteId],
) -> Result<Vec<Option<KnownRequest>>, Error> {
    let mut found: Vec<_> = ids.iter().map(|id| known.get(*id)).collect();
    let is_unknown = |(id, found): (&WriteId, &Option<_>)| found.is_none().then_some(*id);
    let unknown: Vec<_> = ids.iter().zip(&found).filter_map(is_unknown).collect();
    if unknown.is_empty() {
        return Ok(found);
    }
    let records = queue.requests(key, &unknown).await?;
    let mut records = unknown.into_iter().zip(records);
    for slot in found.iter_mut().filter(|slot| slot.is_none()) {
        if let Some((id, Some(record))) = records.next() {
            let request = QueuedRequest::decode(&record).ok().map(Arc::new);
            known.insert(id, request.clone());
            *slot = Some(request);
        }
    }
    Ok(found)
}

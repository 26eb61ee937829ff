//! Reading what the queue knows about a write.

use crate::{
    clock::Timestamp,
    engine::core::Engine,
    error::Error,
    store::contracts::queue::StoredStatus,
    write_queue::{
        DeadLetter, PendingWrite, WriteId, WriteState, WriteStatus, answer::QueuedAnswer,
        request::QueuedRequest,
    },
};

/// What the queue knows about a write; `None` if nothing.
pub(crate) async fn find(engine: &Engine, id: WriteId) -> Result<Option<StoredStatus>, Error> {
    // Anybody may send an id.
    if id.partition() >= engine.queue.partitions() {
        return Ok(None);
    }
    engine.queue.status(id).await
}

/// The writes of a key that have not ended, oldest first. One whose record cannot be read is left out.
pub(crate) async fn pending(engine: &Engine, key: &str) -> Result<Vec<PendingWrite>, Error> {
    let ids = engine.queue.ask(key).await?.ids;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let requests = engine.queue.requests(key, &ids).await?;
    let pending = ids.into_iter().zip(requests).filter_map(|(id, request)| {
        let request = QueuedRequest::decode(&request?).ok()?;
        Some(PendingWrite {
            id,
            user: request.user.clone(),
            request: request.into_request(),
        })
    });
    Ok(pending.collect())
}

/// The service's answer to a write that has ended; `None` if there is none, or it cannot be read.
pub(crate) fn answer(stored: &StoredStatus) -> Option<QueuedAnswer> {
    let answer = stored.answer.as_ref().filter(|_| stored.state.has_ended());
    answer.and_then(|answer| QueuedAnswer::decode(answer).ok())
}

pub(crate) fn status(id: WriteId, stored: StoredStatus) -> WriteStatus {
    let answer = answer(&stored);
    WriteStatus {
        id,
        state: stored.state,
        user: stored.user,
        accepted: stored.accepted.system(),
        attempts: stored.attempts,
        next_attempt: stored.next_attempt.map(Timestamp::system),
        ended: stored.ended.map(Timestamp::system),
        reason: stored.reason,
        response_is_cut: answer.as_ref().is_some_and(|answer| answer.is_cut),
        response: answer.map(QueuedAnswer::into_response),
    }
}

/// The dead letter; `None` if the write is none.
pub(crate) fn dead_letter(id: WriteId, mut stored: StoredStatus) -> Option<DeadLetter> {
    if stored.state != WriteState::Dead {
        return None;
    }
    // The status outlives a letter that was deleted.
    let request = QueuedRequest::decode(&stored.request.take()?);
    let key = std::mem::take(&mut stored.key);
    Some(DeadLetter {
        key,
        request: request.ok().map(QueuedRequest::into_request),
        status: status(id, stored),
    })
}

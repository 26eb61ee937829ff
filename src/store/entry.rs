//! What lies under one key in a tier.

use std::{
    sync::OnceLock,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::position::Position;
use crate::{
    clock::Timestamp,
    message::prebuilt_head::ReadyHeads,
    semantics::{
        freshness::Lifetime,
        stored::{StoredResponse, Variants},
    },
};

/// One stored thing: a response, the list of a key's variants, or an application value.
///
/// A copy between tiers keeps position, times and tags.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    /// The fence's contiguous position before the inner service was called.
    pub(crate) position: Position,
    /// When it was received from the inner service, or last validated.
    pub(crate) stored: Timestamp,
    /// When it stops being of any use, stale or not; `[ttl] max` after `stored` at the latest.
    pub(crate) expires: Timestamp,
    /// The entity whose TTL the key has; empty for a path that no route names.
    pub(crate) entity: Box<str>,
    /// The user it was made for, if it is somebody's own.
    pub(crate) user: Option<Box<str>>,
    pub(crate) tags: Box<[Box<str>]>,
    /// What only this process knows of it.
    pub(crate) local: LocalState,
}

// Nearly every entry is a response.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Content {
    Response(StoredResponse),
    Variants(Variants),
    /// An application value: JSON text.
    Value(StoredValue),
}

#[derive(Clone, Debug)]
pub(crate) struct StoredValue {
    pub(crate) json: Bytes,
    pub(crate) lifetime: Lifetime,
    pub(crate) cost: Duration,
}

/// Remembered by one process about an entry in its hands; never stored.
#[derive(Debug, Default)]
pub(crate) struct LocalState {
    /// Hashes of every subject that can name this entry, once it is used again.
    pub(crate) subjects: OnceLock<Box<[u64]>>,
    /// The fence's stamp up to which this entry was checked and found usable.
    pub(crate) checked: AtomicU64,
    /// Heads as they go out, but for the time.
    pub(crate) ready: ReadyHeads,
    /// Of our own fill: the monotonic clock before the inner service was called; else 0.
    pub(crate) captured: u64,
    /// Until when nobody else refreshes it, on the monotonic clock.
    pub(crate) refreshing: AtomicU64,
}

/// A refresh that has not come back after this long is tried again by another request.
const REFRESH: Duration = Duration::from_secs(10);
/// Between a refresh that failed and the next.
const REST: Duration = Duration::from_secs(1);

impl LocalState {
    /// Whether the caller is the one to refresh the entry.
    pub(crate) fn claim_refresh(&self, now: u64) -> bool {
        let until = self.refreshing.load(Ordering::Relaxed);
        until <= now
            && self
                .refreshing
                .compare_exchange(
                    until,
                    later(now, REFRESH),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// The refresh failed: the next one waits a little.
    pub(crate) fn refresh_failed(&self, now: u64) {
        self.refreshing.store(later(now, REST), Ordering::Relaxed);
    }
}

fn later(now: u64, delta: Duration) -> u64 {
    now.saturating_add(u64::try_from(delta.as_nanos()).unwrap_or(u64::MAX))
}

//! Helpers for the fence's tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{
    capture::Capture,
    config::FenceConfig,
    core::Fence,
    declaration::Declaration,
    entry_names::{EntryNames, TargetHashes, target_hashes},
    verdict::Verdict,
};
use crate::{
    clock::{Clock, Now, Timestamp},
    error::Error,
    key::purge::PurgeTarget,
    semantics::freshness::Lifetime,
    store::{
        entry::{Content, Entry, LocalState, StoredValue},
        position::Position,
    },
};

pub(super) const KEY: &str = "engagement:42:tasks";

pub(super) const LEASE: Duration = Duration::from_secs(60);

/// A fence in one process.
pub(super) fn in_process(config: FenceConfig) -> Arc<Fence> {
    let clock = Clock::manual(Arc::new(AtomicU64::new(1)));
    Fence::in_process(Arc::new(clock), config)
}

pub(super) fn now(fence: &Fence) -> Now {
    fence.sync_state().clock.now()
}

pub(super) fn key(name: &str) -> Vec<PurgeTarget> {
    vec![PurgeTarget::Key(name.into())]
}

/// Invalidates a key.
pub(super) async fn purge(fence: &Fence, name: &str) -> Position {
    purge_target(fence, PurgeTarget::Key(name.into())).await
}

pub(super) async fn purge_target(fence: &Fence, target: PurgeTarget) -> Position {
    let appended = fence.invalidate(vec![target], false).await;
    appended.expect("the journal answers")
}

/// Declares a write of a key.
pub(super) async fn declare(fence: &Fence, name: &str) -> Declaration {
    let declared = fence.declare(key(name), LEASE).await;
    declared.expect("the journal answers")
}

pub(super) async fn close(declaration: Declaration) {
    let closed = declaration.close(Vec::new()).await;
    closed.expect("the journal answers");
}

/// Appends the write-through of a write of `name`, whose response is to be stored under [`KEY`].
pub(super) async fn write_through(
    fence: &Fence,
    before: &Capture,
    name: &str,
) -> Result<Option<Position>, Error> {
    let hashes = key_hashes();
    fence.write_through(before, key(name), names(&hashes)).await
}

pub(super) fn may_store(fence: &Fence, capture: &Capture) -> bool {
    fence.may_store(capture, names(&key_hashes()))
}

fn key_hashes() -> TargetHashes {
    target_hashes::<&str>(KEY, "engagement", None, &[])
}

fn names(hashes: &TargetHashes) -> EntryNames<'_> {
    EntryNames { key: KEY, hashes }
}

/// An entry whose fill begins now.
pub(super) fn fill(fence: &Fence) -> Entry {
    entry(&fence.capture())
}

/// An entry that was copied from the store, so that this process did not fill it.
pub(super) fn copied(fence: &Fence) -> Entry {
    entry(&Capture {
        at: 0,
        ..fence.capture()
    })
}

pub(super) fn entry(capture: &Capture) -> Entry {
    Entry {
        content: Content::Value(StoredValue {
            json: Bytes::new(),
            lifetime: Lifetime::default(),
            cost: Duration::ZERO,
        }),
        position: capture.position,
        stored: Timestamp(0),
        expires: Timestamp(u64::MAX),
        entity: "engagement:tasks".into(),
        user: Some("user-1".into()),
        tags: ["org:1".into()].into(),
        local: LocalState {
            captured: capture.at,
            ..LocalState::default()
        },
    }
}

/// The verdict on an entry that is stored under [`KEY`].
pub(super) fn verdict(fence: &Fence, entry: &Entry) -> Verdict {
    fence.check(entry, KEY, now(fence))
}

pub(super) fn pending(fence: &Fence) -> usize {
    fence.mirror().read(|mirror| mirror.own.pending())
}

pub(super) fn version_of(fence: &Fence, entity: &str) -> u64 {
    fence.version(entity).load(Ordering::Acquire)
}

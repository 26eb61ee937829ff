//! A lock in the store, so that only one process makes a result.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::core::Engine;
use crate::{
    clock::Timestamp,
    error::Error,
    semantics::stored_response::Variants,
    store::{
        contracts::entries::Entries,
        entry::{Content, Entry, LocalState},
        position::Position,
    },
};

/// How long an acquired lock lasts: a process that dies delays the others this long.
const LEASE: Duration = Duration::from_secs(4);
/// How long the store keeps the note that a key's result cannot be shared.
const NOTE_LIFETIME: Duration = Duration::from_secs(10);

/// What a lock is held for. A handler may need the value of its own route's key: the lock of one must
/// not keep the other waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    Response,
    Value,
}

impl Locked {
    /// The name of the lock. No key begins with `~`.
    fn name(self, key: &str) -> Box<str> {
        match self {
            Self::Response => key.into(),
            Self::Value => ["~", key].concat().into(),
        }
    }
}

/// The right to make a key's result for every process. Dropping it releases the lock.
pub(crate) struct FillLock {
    store: Arc<dyn Entries>,
    key: Box<str>,
    name: Box<str>,
    token: u64,
    /// Whether the lock is held, or may be because the store's reply was lost.
    is_held: bool,
    note: Option<Arc<Entry>>,
}

impl FillLock {
    /// A lock that is not held yet; `None` without a store, or while its fence is not trusted.
    pub(crate) fn new(engine: &Engine, key: &str, locked: Locked) -> Option<Self> {
        let store = engine.tiers.store.as_ref()?;
        engine.fence.is_trusted(engine.clock.now()).then(|| Self {
            store: Arc::clone(store),
            key: key.into(),
            name: locked.name(key),
            token: fastrand::u64(..),
            is_held: false,
            note: None,
        })
    }

    /// Acquires the lock of `key` if no other process holds it.
    ///
    /// `Ok(None)` if there is no store or it does not reply: then every process does the work.
    ///
    /// # Errors
    ///
    /// If another process holds the lock.
    pub(crate) async fn acquire(
        engine: &Engine,
        key: &str,
        locked: Locked,
    ) -> Result<Option<Self>, HeldElsewhere> {
        let Some(mut lock) = Self::new(engine, key, locked) else {
            return Ok(None);
        };
        match lock.try_acquire().await {
            Ok(true) => Ok(Some(lock)),
            Ok(false) => Err(HeldElsewhere),
            Err(_) => Ok(None),
        }
    }

    /// Acquires the lock if nobody holds it.
    ///
    /// # Errors
    ///
    /// If the store does not reply.
    pub(crate) async fn try_acquire(&mut self) -> Result<bool, Error> {
        // Set before the call: the store may take the lock although its reply does not arrive.
        self.is_held = true;
        // The store itself reports and counts a failure.
        let acquired = self.store.try_lock(&self.name, self.token, LEASE).await;
        self.is_held = acquired?;
        Ok(self.is_held)
    }

    /// On release, tells waiting processes that this key's result cannot be shared, unless
    /// something is stored by then.
    pub(crate) fn note_hit_for_miss(&mut self, position: Position, now: Timestamp) {
        self.note = Some(Arc::new(hit_for_miss_note(position, now)));
    }
}

impl Drop for FillLock {
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let (name, token) = (self.name.clone(), self.token);
        let note = self.note.take();
        let release = async move {
            if let Some(note) = note
                && let Ok(None) = store.get(&key).await
            {
                let _ = store.put(&key, &note).await;
            }
            // If this fails, the lease expires.
            let _ = store.unlock(&name, token).await;
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(release);
        }
    }
}

/// Another process holds the lock.
#[derive(Debug)]
pub(crate) struct HeldElsewhere;

/// A note that a key's result cannot be shared: a list without variants, so that no lookup takes it
/// for a result.
fn hit_for_miss_note(position: Position, now: Timestamp) -> Entry {
    Entry {
        content: Content::Variants(Variants::default()),
        position,
        stored: now,
        expires: now.after(NOTE_LIFETIME),
        entity: Box::default(),
        user: None,
        tags: Box::default(),
        local: LocalState::default(),
    }
}

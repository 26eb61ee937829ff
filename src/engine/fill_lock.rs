//! One piece of work for all processes that want the same thing at the same time.
//!
//! Only an economy: whoever cannot tell whether another works does the work itself, and the fence
//! judges what comes of it as it judges every fill.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};

use super::core::Engine;
use crate::{
    clock::Timestamp,
    key::KeyBuf,
    semantics::stored::Variants,
    store::{
        contracts::entries::Entries,
        entry::{Content, Entry, LocalState},
        position::Position,
    },
};

/// How long a process that says nothing more is waited for: what a dead one delays others.
const LEASE: Duration = Duration::from_secs(4);
/// After this long a process does the work itself, whoever else may be at it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long processes remember that what comes of the work cannot be shared.
const NOTED: Duration = Duration::from_secs(10);
/// Between two looks at the store, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// What a look at the store shows.
#[derive(Debug)]
pub(crate) enum Look<T> {
    Found(T),
    /// What comes of the work cannot be shared.
    Unshared,
    Nothing,
}

/// What became of waiting for others.
#[derive(Debug)]
pub(crate) enum Led<T> {
    Found(T),
    /// This process is to do the work; with the lock, if there is one to be had.
    Lead(Option<FillLock>),
}

/// The right to do a piece of work for every process. Dropping it gives it back.
pub(crate) struct FillLock {
    store: Arc<dyn Entries>,
    key: Box<str>,
    token: u64,
    /// Whether the lock may be ours.
    held: bool,
    note: Option<Arc<Entry>>,
}

impl Engine {
    /// Waits until `look` finds what another process makes, or this one is to make it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it holds no lock.
    pub(crate) async fn acquire_fill_lock<T, F>(&self, key: &str, look: impl Fn() -> F) -> Led<T>
    where
        F: Future<Output = Look<T>>,
    {
        let Some(mut lead) = self.fill_lock(key) else {
            return Led::Lead(None);
        };
        let until = Instant::now() + PATIENCE;
        let mut backoff = crate::clock::Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let taken = match lead.take().await {
                Ok(taken) => taken,
                Err(()) => return Led::Lead(None),
            };
            // With the lock, too: it may have been stored between the last look and the lock.
            match look().await {
                Look::Found(found) => return Led::Found(found),
                Look::Unshared => return Led::Lead(None),
                Look::Nothing if taken => return Led::Lead(Some(lead)),
                Look::Nothing => {}
            }
            // Untrusted, nothing that another stores can be used here.
            if Instant::now() >= until || !self.fence.trusted(self.clock.now()) {
                return Led::Lead(None);
            }
            backoff.wait().await;
        }
    }

    /// Leads if no other process does. Without a store, or with one that does not answer, every
    /// process leads: `Ok(None)`.
    ///
    /// # Errors
    ///
    /// Another process leads.
    pub(crate) async fn try_fill_lock(&self, key: &str) -> Result<Option<FillLock>, ()> {
        let Some(mut lead) = self.fill_lock(key) else {
            return Ok(None);
        };
        match lead.take().await {
            Ok(true) => Ok(Some(lead)),
            Ok(false) => Err(()),
            Err(()) => Ok(None),
        }
    }

    fn fill_lock(&self, key: &str) -> Option<FillLock> {
        let store = self.tiers.store.as_ref()?;
        self.fence.trusted(self.clock.now()).then(|| FillLock {
            store: Arc::clone(store),
            key: key.into(),
            token: fastrand::u64(..),
            held: false,
            note: None,
        })
    }

    /// Whether a look into the store has just found the note that nothing of this key is shared.
    pub(crate) fn is_noted_uncacheable(&self, key: &KeyBuf) -> bool {
        let found = self
            .tiers
            .usable_local(key.as_bytes(), key, self.clock.now());
        found.is_some_and(|found| is_note(&found.entry))
    }
}

/// A list of no variants: whatever is asked for, nothing is stored, and nobody need wait for it.
fn note(position: Position, now: Timestamp) -> Entry {
    Entry {
        content: Content::Variants(Variants::default()),
        position,
        stored: now,
        expires: now.after(NOTED),
        entity: Box::default(),
        user: None,
        tags: Box::default(),
        local: LocalState::default(),
    }
}

fn is_note(entry: &Entry) -> bool {
    matches!(&entry.content, Content::Variants(variants) if variants.0.is_empty())
}

impl FillLock {
    /// Notes for those who wait that there is nothing to wait for: before the lead is given back,
    /// and unless something is stored.
    pub(crate) fn note_uncacheable(&mut self, position: Position, now: Timestamp) {
        self.note = Some(Arc::new(note(position, now)));
    }

    /// Takes the lock if nobody holds it; `Err` if the store does not answer.
    async fn take(&mut self) -> Result<bool, ()> {
        // From the question on it may be ours, whether or not the answer arrives.
        self.held = true;
        let taken = self.store.try_lock(&self.key, self.token, LEASE).await;
        // A failure is an event and a metric of the store's.
        let taken = taken.map_err(|_| ())?;
        self.held = taken;
        Ok(taken)
    }
}

impl Drop for FillLock {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let (store, key, token) = (Arc::clone(&self.store), self.key.clone(), self.token);
        let note = self.note.take();
        let give_back = async move {
            if let Some(note) = note
                && let Ok(None) = store.get(&key).await
            {
                let _ = store.put(&key, &note).await;
            }
            // Else its lease runs out.
            let _ = store.unlock(&key, token).await;
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(give_back);
        }
    }
}

impl fmt::Debug for FillLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillLock")
            .field("key", &self.key)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

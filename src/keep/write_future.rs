//! A write by application code, from its work to its invalidations.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use serde::Serialize;

use super::{
    handle::Keep, invalidation::Invalidation, value_entry::ValueEntry, value_json::encode,
    value_options::KeyedValue,
};
use crate::{error::Error, fence::capture::Capture, key::Key, store::entry::Entry};

pin_project! {
    /// The future of [`Keep::write`].
    #[must_use = "nothing is written unless it is awaited"]
    pub struct WriteFuture<'a, F: Future, T> {
        #[pin]
        work: F,
        replacement: Option<ValueReplacement<'a, T>>,
        unfinished: UnfinishedWrite,
        // The result of the work, once it is there, while the invalidations are sent.
        result: Option<F::Output>,
        settling: Option<BoxFuture<'static, ()>>,
    }
}

impl<'a, F, T, E> WriteFuture<'a, F, T>
where
    F: Future<Output = Result<T, E>>,
{
    pub(super) fn new(keep: Keep, invalidations: Vec<Invalidation>, work: F) -> Self {
        Self {
            work,
            replacement: None,
            unfinished: UnfinishedWrite {
                keep,
                invalidations,
                began: None,
            },
            result: None,
            settling: None,
        }
    }

    /// Stores `value(written)` under `key`, where `written` is what `work` returns, so that the next read
    /// finds what was written. The key is invalidated like the others: other processes do not use what they
    /// have.
    ///
    /// The value is stored by the rules of `through = "answer"` in the table: only if no other write of the
    /// key may have happened since this one began. Of two writes at the same time, the cache ends up with the
    /// later one or with nothing. Nothing is stored if `work` fails, if the journal of invalidations cannot
    /// be reached, if the value is `null` or does not serialise to JSON (which is logged), or if values of this
    /// key are stored as bare JSON, whose order nothing protects.
    ///
    /// A later call replaces an earlier one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// async fn rename(name: &str) -> Result<String, std::io::Error> {
    ///     Ok(name.to_owned())
    /// }
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// let written = keep.write([], rename("Open")).replace(&key, |name| name.clone()).await;
    /// assert_eq!(written.unwrap(), "Open");
    /// assert_eq!(keep.get::<String>(&key).await?.as_deref(), Some("Open"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace<V, R>(self, key: &Key, value: R) -> Self
    where
        V: Serialize,
        R: FnOnce(&T) -> V + Send + 'a,
    {
        let entry = self.unfinished.keep.entry(key.clone());
        self.replace_entry(entry, value)
    }

    /// [`replace`](Self::replace) for a value with settings of its own, such as a TTL or tags.
    pub fn replace_entry<V, R>(mut self, entry: ValueEntry, value: R) -> Self
    where
        V: Serialize,
        R: FnOnce(&T) -> V + Send + 'a,
    {
        let key = entry.value.key.clone();
        self.unfinished.invalidations.push(Invalidation::key(&key));
        self.replacement = Some(ValueReplacement {
            value: entry.value,
            json: Box::new(move |written| encode(&key, &value(written))),
        });
        self
    }
}

impl<F, T, E> Future for WriteFuture<'_, F, T>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.result.is_none() {
            let began = this.unfinished.begin();
            let result = ready!(this.work.poll(cx));
            let replacement = this.replacement.take();
            let replacement = match (&result, replacement) {
                (Ok(written), Some(replacement)) => replacement.entry(written),
                _ => None,
            };
            *this.settling = Some(this.unfinished.settle(began, replacement));
            *this.result = Some(result);
        }
        if let Some(settling) = this.settling {
            ready!(settling.as_mut().poll(cx));
        }
        this.unfinished.invalidations.clear();
        let result = this.result.take();
        Poll::Ready(result.expect("a future is not polled after it was ready"))
    }
}

impl<F: Future, T> fmt::Debug for WriteFuture<'_, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteFuture").finish_non_exhaustive()
    }
}

/// The value that replaces the one under its key after the write.
struct ValueReplacement<'a, T> {
    value: KeyedValue,
    json: MakeJson<'a, T>,
}

/// Makes the JSON of the value from the result of the work.
type MakeJson<'a, T> = Box<dyn FnOnce(&T) -> Result<Bytes, Error> + Send + 'a>;

impl<T> ValueReplacement<'_, T> {
    /// The entry to store; `None` if nothing may be stored.
    fn entry(self, written: &T) -> Option<(KeyedValue, Entry)> {
        let key = &self.value.key;
        let json = (self.json)(written)
            .inspect_err(|error| tracing::warn!(%key, %error, "the written value was not stored"))
            .ok()?;
        let is_plain = self.value.keep.plain(key).is_some();
        let entry = self.value.stored_entry(json, Duration::ZERO);
        Some((self.value, entry.filter(|_| !is_plain)?))
    }
}

/// A write whose invalidations are sent when it is dropped before they have been: the change may have been
/// committed.
struct UnfinishedWrite {
    keep: Keep,
    invalidations: Vec<Invalidation>,
    /// The position before the work began; `None` until then.
    began: Option<Capture>,
}

impl UnfinishedWrite {
    fn begin(&mut self) -> Capture {
        let engine = self.keep.engine();
        *self.began.get_or_insert_with(|| engine.fence.capture())
    }

    /// Sends the invalidations, and stores the replacement unless another write may have happened since
    /// `began`. If the future is dropped, they are sent again, which is harmless.
    fn settle(
        &self,
        began: Capture,
        replacement: Option<(KeyedValue, Entry)>,
    ) -> BoxFuture<'static, ()> {
        let (keep, invalidations) = (self.keep.clone(), self.invalidations.clone());
        Box::pin(async move {
            // A failure is reported by the fence, which sends them again.
            let Some((value, entry)) = replacement else {
                let _ = keep.purge(invalidations).await;
                return;
            };
            let key = keep.full_key(&value.key);
            let (soft, hard): (Vec<_>, Vec<_>) =
                invalidations.into_iter().partition(Invalidation::is_soft);
            let _ = keep.purge(soft).await;
            let targets = hard.into_iter().map(|one| one.into_purge().target);
            let engine = keep.engine();
            let _ = engine
                .write_through(&began, targets.collect(), &key, entry)
                .await;
        })
    }
}

impl Drop for UnfinishedWrite {
    fn drop(&mut self) {
        if self.began.is_none() {
            return;
        }
        let invalidations = mem::take(&mut self.invalidations).into_iter();
        let purges: Vec<_> = invalidations.map(Invalidation::into_purge).collect();
        self.keep.engine().fence.purge_later(&purges);
    }
}

//! The write-behind queue for code that is not a request handler.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Request;

use super::handle::Keep;
use crate::{
    engine::acceptance::{
        accept::{self, OfferedWrite},
        not_accepted::NotAccepted,
        stored_write,
    },
    error::Error,
    key::{Key, KeyBuf},
    semantics::idempotency_key,
    write_queue::{DeadLetter, PendingWrite, QueueCounts, WriteId, WriteStatus},
};

/// How many dead letters are read at the same time.
const CONCURRENT_READS: usize = 16;

impl Keep {
    /// The write-behind queue, in which the writes of routes with `write = "behind"` wait until a worker
    /// applies them.
    #[must_use]
    pub fn queue(&self) -> WriteQueue {
        WriteQueue { keep: self.clone() }
    }
}

/// The write-behind queue of a [`Keep`]: enqueues writes, looks them up, and handles those that were
/// given up. Made by [`Keep::queue`].
///
/// Every method fails if the store cannot be reached.
#[derive(Clone, Debug)]
pub struct WriteQueue {
    keep: Keep,
}

impl WriteQueue {
    /// Accepts a write, as the [`WriteBehindLayer`](crate::WriteBehindLayer) does: a worker applies it
    /// later, after the earlier writes of its key.
    ///
    /// The request is what a client would send: method, path as received, fields and content. Its user is
    /// its [`UserId`](crate::UserId) extension. With an `Idempotency-Key` field, a repeated call finds the
    /// first write. Credentials, and fields that the route does not keep, are left out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use http::Request;
    /// use tower_keep::{Keep, Table, UserId, table::{Behind, Route, Write}, write_behind::WriteState};
    ///
    /// let keep = Keep::new(Table::new()
    ///     .behind(Behind::new().volatile(true))
    ///     .route(Route::new("/agents/{id}/status").key("agent:{id}:status").write(Write::Behind)))?;
    ///
    /// let request = Request::put("/agents/7/status")
    ///     .header("content-type", "application/json")
    ///     .extension(UserId::new("alice"))
    ///     .body(r#"{"status":"busy"}"#)
    ///     .unwrap();
    /// let id = keep.queue().enqueue(request).await?;
    ///
    /// let status = keep.queue().status(id).await?.expect("it was accepted");
    /// assert_eq!(status.state, WriteState::Waiting);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If no route with `write = "behind"` serves the request, it lacks a value of the route's key, its
    /// path is ambiguous, or its content is longer than `max_body` ([`Error::is_config`]); if the queue is
    /// full, its `Idempotency-Key` was used for other content, or the store refuses the write
    /// ([`Error::is_refused`]); if the store did not answer ([`Error::is_unavailable`]): then the write may
    /// have been accepted. Without Redis, the table must have `volatile = true`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the write may or may not have been accepted.
    pub fn enqueue<B: Into<Bytes>>(&self, request: Request<B>) -> EnqueueFuture {
        EnqueueFuture {
            keep: self.keep.clone(),
            request: request.map(Into::into),
            is_vouched: false,
        }
    }

    /// What is known about a write; `None` if it never was, or is no longer: `keep_result` after its end.
    ///
    /// It does not ask whose write it is.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn status(&self, id: WriteId) -> Result<Option<WriteStatus>, Error> {
        let stored = stored_write::find(self.keep.engine(), id).await?;
        Ok(stored.map(|stored| stored_write::status(id, stored)))
    }

    /// The writes of a key that have not ended, oldest first. For a route with `scope = "user"`, use
    /// [`pending_of`](Self::pending_of).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use http::Request;
    /// use tower_keep::{Keep, Key, Table, table::{Behind, Route, Write}};
    ///
    /// let keep = Keep::new(Table::new()
    ///     .behind(Behind::new().volatile(true))
    ///     .route(Route::new("/agents/{id}/status").key("agent:{id}:status").write(Write::Behind)))?;
    /// let request = Request::put("/agents/7/status").body("busy").unwrap();
    /// keep.queue().enqueue(request).await?;
    ///
    /// let pending = keep.queue().pending(&Key::new("agent").id(7).sub("status")).await?;
    /// assert_eq!(pending[0].request.body(), "busy");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn pending(&self, key: &Key) -> Result<Vec<PendingWrite>, Error> {
        stored_write::pending(self.keep.engine(), key.as_str()).await
    }

    /// [`pending`](Self::pending) for a route with `scope = "user"`: the writes of this user's key.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn pending_of(&self, key: &Key, user: &str) -> Result<Vec<PendingWrite>, Error> {
        let mut key = KeyBuf::of(key.as_str(), 0, 0);
        key.push_user(user);
        stored_write::pending(self.keep.engine(), &key.queue_key()).await
    }

    /// The writes that were given up, latest first: at most `count`, without the first `skip`.
    ///
    /// Each contains its whole content; ask for as many as fit in memory.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// # let keep = tower_keep::Keep::default();
    /// for letter in keep.queue().dead_letters(0, 100).await? {
    ///     println!("{} {}: {:?}", letter.status.id, letter.key, letter.status.reason);
    ///     keep.queue().retry(letter.status.id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn dead_letters(&self, skip: usize, count: usize) -> Result<Vec<DeadLetter>, Error> {
        let ids = self.keep.engine().queue.dead_letters(skip, count).await?;
        let letters = stream::iter(ids).map(|id| self.inspect(id));
        let letters = letters.buffered(CONCURRENT_READS);
        // Another process may have retried or deleted one meanwhile.
        letters
            .try_filter_map(async |letter| Ok(letter))
            .try_collect()
            .await
    }

    /// The dead letter with this id; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn inspect(&self, id: WriteId) -> Result<Option<DeadLetter>, Error> {
        let stored = stored_write::find(self.keep.engine(), id).await?;
        Ok(stored.and_then(|stored| stored_write::dead_letter(id, stored)))
    }

    /// Accepts a dead letter again, with the same id, as the last write of its key; if it stopped its key
    /// (`after_dead = "hold"`), as the first one. Returns `false` if there is no such dead letter.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached. Then the write may have been accepted, and a repeated call returns
    /// `false`.
    pub async fn retry(&self, id: WriteId) -> Result<bool, Error> {
        if !self.has_partition_of(id) {
            return Ok(false);
        }
        self.keep.engine().queue.retry(id).await
    }

    /// Removes a dead letter; if it stopped its key, the key goes on. Returns `false` if there is no such
    /// dead letter.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn delete(&self, id: WriteId) -> Result<bool, Error> {
        if !self.has_partition_of(id) {
            return Ok(false);
        }
        self.keep.engine().queue.delete(id).await
    }

    /// Stops all workers of all processes after the writes that they are applying. Writes are still
    /// accepted.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn pause(&self) -> Result<(), Error> {
        self.keep.engine().queue.set_paused(true).await
    }

    /// Lets the workers go on.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn resume(&self) -> Result<(), Error> {
        self.keep.engine().queue.set_paused(false).await
    }

    /// How many writes the queue has, and for how long the oldest has been waiting.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// # let keep = tower_keep::Keep::default();
    /// let queue = keep.queue();
    /// queue.pause().await?;
    /// assert!(queue.counts().await?.paused);
    /// queue.resume().await?;
    /// assert_eq!(queue.counts().await?.waiting, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub async fn counts(&self) -> Result<QueueCounts, Error> {
        self.keep.engine().queue.counts().await
    }

    fn has_partition_of(&self, id: WriteId) -> bool {
        id.partition() < self.keep.engine().queue.partitions()
    }
}

/// The future of [`WriteQueue::enqueue`]; its result is the id of the write.
#[derive(Debug)]
#[must_use = "nothing is enqueued unless it is awaited"]
pub struct EnqueueFuture {
    keep: Keep,
    request: Request<Bytes>,
    is_vouched: bool,
}

impl EnqueueFuture {
    /// Vouches for the write: the application has checked that its user may write this. What it shows
    /// before it is applied (`pending`) is then shown to every user, and not only to its own.
    pub fn vouched(mut self) -> Self {
        self.is_vouched = true;
        self
    }

    async fn enqueue(self) -> Result<WriteId, Error> {
        let engine = self.keep.engine();
        let snapshot = engine.snapshot.load_full();
        let (parts, content) = self.request.into_parts();
        if !accept::queues_writes(engine, &snapshot) {
            return Err(Error::config(
                "a keep without Redis queues writes only in memory; write `volatile = true` in `[behind]`, or use a RedisStore",
            ));
        }
        let max = snapshot.plan.behind.max_body;
        if content.len() as u64 > max {
            return Err(Error::config(format!(
                "the content of a write may have up to {max} bytes; write a larger `max_body` in `[behind]`"
            )));
        }
        let key = idempotency_key::of(&parts.headers);
        let key = key.map_err(|malformed| Error::config(malformed.as_str()))?;
        let offered = OfferedWrite {
            parts: &parts,
            content: &content,
            idempotency_key: key.as_deref(),
            is_vouched: self.is_vouched,
        };
        let accepted = accept::accept(engine, &snapshot, offered).await;
        let accepted = accepted.map_err(NotAccepted::into_error)?;
        Ok(accepted.id)
    }
}

impl IntoFuture for EnqueueFuture {
    type Output = Result<WriteId, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.enqueue())
    }
}

mod answer;
mod attempt;
mod backoff;
mod call;
mod call_slots;
mod claiming;
mod conclusion;
mod context;
mod dispatcher;
mod ending;
mod gauges;
mod held_back;
mod lease;
mod restored_request;
mod scan_schedule;
mod settings;
mod shutdown;
mod supervised_call;
#[cfg(test)]
mod tests;
mod verdict;

use std::{fmt, future::Future, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use self::{
    context::WorkerContext, dispatcher::Dispatcher, gauges::refresh_gauges,
    settings::WorkerSettings,
};
use crate::{
    error::BoxError, keep::handle::Keep, message::replayable_body::ReplayableBody,
    store::contracts::queue::Queue,
};

/// Applies the writes that a `WriteBehindLayer` has accepted, by calling a service.
///
/// `service` is whatever answers the paths of the routes with `write = "behind"`: usually the
/// application's router, without authentication and without limits. Each write reaches it with its
/// method, target, kept fields, content and user as received, and
///
/// - the extension [`Applying`](super::Applying), which has the write's id and its place in the order
///   of its key;
/// - the field `Idempotency-Key`: the client's own, else the write's id.
///
/// An [`InvalidateLayer`](crate::InvalidateLayer) and a [`RateLimitLayer`](crate::RateLimitLayer) in
/// the service pass such a request through: the worker itself invalidates what a write changes.
///
/// ```no_run
/// # async fn main_() -> Result<(), tower_keep::Error> {
/// use axum::{Router, routing::post};
/// use tower_keep::{Keep, Table, write_behind::WriteBehindWorker};
///
/// let keep = Keep::new(Table::load("keep.toml")?)?;
/// let router: Router = Router::new().route("/agents/{id}/activity", post(async || "logged"));
/// let shutdown = std::future::pending::<()>();
/// tokio::spawn(WriteBehindWorker::new(&keep, router).concurrency(16).run(shutdown));
/// # Ok(())
/// # }
/// ```
///
/// # What becomes of a write
///
/// | the service | the write |
/// |---|---|
/// | answers 2xx or 3xx | is done |
/// | answers 408, 425, 429 or 5xx, fails, panics, or takes longer than [`longest_call`](Self::longest_call) | is tried again, after a random time up to a limit that doubles with each attempt (`backoff`, `max_backoff`), and not before a `Retry-After` has passed |
/// | answers another 4xx | is dead: it is kept for inspection, and not tried again |
///
/// A write is dead, too, after `attempts`, and when `max_age` has passed since its first attempt. While
/// a write waits for its next attempt, later writes of its key wait; those of other keys do not.
///
/// A write may be applied more than once: see [`Applying`](super::Applying) for how a service applies
/// each once.
///
/// # Several workers
///
/// Any number of workers, in any number of processes that share the keep, share the work. A worker
/// holds each write that it applies by a [`lease`](Self::lease), which it renews. If its process dies,
/// the write is handed out again when the lease has run out. A worker that cannot renew a lease ends
/// the call.
///
/// A worker whose Redis is away waits until it is back.
pub struct WriteBehindWorker<S, B = axum_core::body::Body> {
    keep: Keep,
    service: S,
    settings: WorkerSettings,
    body: PhantomData<fn(B)>,
}

impl<S> WriteBehindWorker<S> {
    /// Creates a worker that applies the writes of `keep` by calling `service`, whose request body is
    /// axum's `Body`. For another body see [`request_body`](Self::request_body).
    #[must_use]
    pub fn new(keep: &Keep, service: S) -> Self {
        Self {
            keep: keep.clone(),
            service,
            settings: WorkerSettings::default(),
            body: PhantomData,
        }
    }
}

impl<S, B> WriteBehindWorker<S, B> {
    /// Sets the type of the request body that the service takes.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use tower::service_fn;
    /// use tower_keep::{Keep, write_behind::WriteBehindWorker};
    ///
    /// let service = service_fn(async |_: Request<String>| {
    ///     Ok::<_, Infallible>(Response::new("done".to_owned()))
    /// });
    /// let worker = WriteBehindWorker::new(&Keep::default(), service).request_body::<String>();
    /// # let _ = worker.run(std::future::ready(()));
    /// ```
    #[must_use]
    pub fn request_body<T>(self) -> WriteBehindWorker<S, T> {
        WriteBehindWorker {
            keep: self.keep,
            service: self.service,
            settings: self.settings,
            body: PhantomData,
        }
    }

    /// Sets how many writes are applied at the same time, from 1 to 4096. The default is 16.
    #[must_use]
    pub fn concurrency(mut self, writes: usize) -> Self {
        self.settings.concurrency = writes.clamp(1, 4096);
        self
    }

    /// Sets for how long a write stays with this worker without a renewal: from one second to an hour.
    /// The default is 30 seconds.
    ///
    /// If the process dies, the writes that it was applying wait for this long.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.settings.lease = time.clamp(Duration::from_secs(1), Duration::from_secs(60 * 60));
        self
    }

    /// Sets the longest time that the service may take: at most 12 hours. The default is one minute.
    ///
    /// A longer call counts as failed and is cancelled. What it writes later than this time after its
    /// cancellation goes unnoticed by the caches.
    #[must_use]
    pub fn longest_call(mut self, time: Duration) -> Self {
        self.settings.longest_call = time.min(Duration::from_secs(12 * 60 * 60));
        self
    }

    /// Sets how long the end of the worker waits for calls that are in progress. The default is ten
    /// seconds. Then they are cancelled, and their writes wait for another worker.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.settings.grace = time;
        self
    }

    /// Applies writes until `shutdown` is ready. Then takes no more, waits for the calls in progress for
    /// at most [`grace`](Self::grace), and gives back the writes that were not applied, which does not
    /// count as an attempt.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the calls in progress are cancelled, and their writes are handed out
    /// again when their leases have run out.
    pub async fn run<R>(self, shutdown: impl Future<Output = ()>)
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: ReplayableBody,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let queue = Arc::clone(&self.keep.engine().queue);
        self.run_on(queue, shutdown).await;
    }

    async fn run_on<R>(self, queue: Arc<dyn Queue>, shutdown: impl Future<Output = ()>)
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        B: ReplayableBody,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let engine = Arc::clone(self.keep.engine());
        let context = Arc::new(WorkerContext::new(engine, queue, self.settings));
        let dispatcher = Dispatcher::new(Arc::clone(&context), self.service);
        tokio::select! {
            () = dispatcher.run(shutdown) => {}
            () = refresh_gauges(&context) => {}
        }
    }
}

impl<S, B> fmt::Debug for WriteBehindWorker<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehindWorker")
            .field("keep", &self.keep)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

//! Storing responses before they are requested.

use std::{collections::BTreeSet, fmt, pin::pin};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt;
use tower_service::Service;

use super::handle::Keep;
use crate::{
    engine::fill::StoredMark, message::drain::drain, semantics::cache_report::CacheReport,
};

/// How many requests of a warm-up run at the same time, unless the caller sets another number.
const CONCURRENCY: usize = 8;
/// More would have to wait for the refreshes in the background, which share the bound of 64.
const MAX_CONCURRENCY: usize = 64;

/// The settings of a warm-up: see [`Keep::warm_with`].
#[must_use]
pub struct WarmUp<'a> {
    concurrency: usize,
    skip: u64,
    progress: Box<dyn FnMut(&WarmUpReport) + Send + 'a>,
}

impl<'a> WarmUp<'a> {
    /// Creates the settings of [`Keep::warm`]: eight requests at a time, from the first one, without a
    /// report of its progress.
    pub fn new() -> Self {
        Self {
            concurrency: CONCURRENCY,
            skip: 0,
            progress: Box::new(|_| {}),
        }
    }

    /// Sets the number of requests that run at the same time, from 1 to 64.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, MAX_CONCURRENCY);
        self
    }

    /// Leaves out the first `completed` requests, to resume a warm-up that was interrupted: the number that
    /// its last report called [`completed`](WarmUpReport::completed). The requests must be the same, in the
    /// same order.
    pub fn resume_after(mut self, completed: u64) -> Self {
        self.skip = completed;
        self
    }

    /// Calls `progress` after each request, with the report so far. While it runs, no other request of
    /// the warm-up makes progress.
    pub fn progress(mut self, progress: impl FnMut(&WarmUpReport) + Send + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }
}

impl Default for WarmUp<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WarmUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmUp")
            .field("concurrency", &self.concurrency)
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

/// The number of requests of a [warm-up](Keep::warm) by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmUpReport {
    stored: u64,
    hits: u64,
    refused: u64,
    failed: u64,
    completed: u64,
}

impl WarmUpReport {
    /// Responses that were stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Requests whose response was already stored.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Responses that may not be stored.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Errors, responses with a status of 500 or above, and responses whose body failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many requests at the beginning of the list have all been sent and answered, whatever the
    /// outcome, including those that [`WarmUp::resume_after`] has left out.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.completed
    }

    fn count(&mut self, outcome: Option<CacheReport>) {
        let count = match outcome {
            None => &mut self.failed,
            Some(report) if report.hit => &mut self.hits,
            Some(report) if report.stored || report.collapsed => &mut self.stored,
            Some(_) => &mut self.refused,
        };
        *count += 1;
    }
}

/// Counts how many requests at the beginning of the list have been completed; they end in any order.
#[derive(Debug, Default)]
struct CompletedRequests {
    count: u64,
    later: BTreeSet<u64>,
}

impl CompletedRequests {
    /// Notes the end of the request with this index. Returns the number of the first requests without a gap.
    fn note(&mut self, index: u64) -> u64 {
        self.later.insert(index);
        while self.later.remove(&self.count) {
            self.count += 1;
        }
        self.count
    }
}

impl Keep {
    /// Sends `requests` through `app`, which must contain a [`CacheLayer`](crate::CacheLayer) of this
    /// keep, so that their responses are stored before clients request them.
    ///
    /// At most eight requests run at a time, and at most 64 together with refreshes in the background.
    /// A response is found later only under the same key: for a route whose scope is the user, the
    /// request must have that user, and for a table with [`host`](crate::Table::host) it must have one of
    /// those hosts.
    ///
    /// ```
    /// # use http::{Request, Response};
    /// # use tower::{Layer, service_fn};
    /// # use tower_keep::{CacheLayer, Keep, Route, Scope, Table};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let keep = Keep::new(Table::new()
    ///     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public))).unwrap();
    /// let app = CacheLayer::new(&keep).layer(service_fn(async |_: Request<String>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new("an engagement".to_owned()))
    /// }));
    ///
    /// let requests = (1..=20).map(|id| {
    ///     Request::get(format!("/engagements/{id}")).body(String::new()).unwrap()
    /// });
    /// assert_eq!(keep.warm(app, requests).await.stored(), 20);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no more requests are sent. Responses that were stored stay stored.
    pub async fn warm<S, B, R>(
        &self,
        app: S,
        requests: impl IntoIterator<Item = Request<B>>,
    ) -> WarmUpReport
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        R: Body<Data = Bytes>,
    {
        self.warm_with(WarmUp::new(), app, requests).await
    }

    /// [`warm`](Self::warm) with another number of requests at a time, with reports of its progress, or from
    /// where an earlier one was interrupted.
    ///
    /// ```
    /// # use http::{Request, Response};
    /// # use tower::{Layer, service_fn};
    /// # use tower_keep::{CacheLayer, Keep, Route, Scope, Table, keep::WarmUp};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # let keep = Keep::new(Table::new()
    /// #     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public))).unwrap();
    /// # let app = CacheLayer::new(&keep).layer(service_fn(async |_: Request<String>| {
    /// #     Ok::<_, std::convert::Infallible>(Response::new("an engagement".to_owned()))
    /// # }));
    /// # let requests = (1..=20).map(|id| {
    /// #     Request::get(format!("/engagements/{id}")).body(String::new()).unwrap()
    /// # });
    /// let mut completed = 15; // from a file, if an earlier warm-up was interrupted
    /// let settings = WarmUp::new()
    ///     .concurrency(2)
    ///     .resume_after(completed)
    ///     .progress(|report| completed = report.completed()); // to a file
    /// assert_eq!(keep.warm_with(settings, app, requests).await.stored(), 5);
    /// assert_eq!(completed, 20);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`warm`](Self::warm).
    pub async fn warm_with<S, B, R>(
        &self,
        mut settings: WarmUp<'_>,
        app: S,
        requests: impl IntoIterator<Item = Request<B>>,
    ) -> WarmUpReport
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        R: Body<Data = Bytes>,
    {
        let skip = usize::try_from(settings.skip).unwrap_or(usize::MAX);
        let requests = requests.into_iter().skip(skip).zip(settings.skip..);
        let sent = requests.map(|(request, index)| {
            let app = app.clone();
            async move {
                // The semaphore is never closed.
                let _permit = self.engine().refreshes.acquire().await;
                (index, send(app, request).await)
            }
        });
        let mut outcomes = pin!(stream::iter(sent).buffer_unordered(settings.concurrency));
        let mut completed = CompletedRequests {
            count: settings.skip,
            later: BTreeSet::new(),
        };
        let mut report = WarmUpReport {
            completed: settings.skip,
            ..WarmUpReport::default()
        };
        while let Some((index, outcome)) = outcomes.next().await {
            report.count(outcome);
            report.completed = completed.note(index);
            (settings.progress)(&report);
        }
        report
    }
}

/// Sends a request. Returns the cache's report on the response; `None` if the request has failed.
async fn send<S, B, R>(app: S, request: Request<B>) -> Option<CacheReport>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    let (head, body) = app.oneshot(request).await.ok()?.into_parts();
    // A response is stored once its body has been read.
    drain(body).await.ok()?;
    let mut report = CacheReport::of(&head.headers).unwrap_or_default();
    let mark = head.extensions.get::<StoredMark>();
    report.stored |= mark.is_some_and(StoredMark::is_set);
    (!head.status.is_server_error()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_completed_once_all_before_it_are() {
        let mut completed = CompletedRequests {
            count: 5,
            later: BTreeSet::new(),
        };
        let counts = [7, 6, 9, 5, 8].map(|index| completed.note(index));
        assert_eq!(counts, [5, 5, 5, 8, 10]);
    }
}

//! Storing responses before they are requested.

use std::pin::pin;

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

/// The maximum number of requests of a warm-up that run at the same time.
const CONCURRENCY: usize = 8;

/// The number of requests of a [warm-up](Keep::warm) by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmUpReport {
    stored: u64,
    hits: u64,
    refused: u64,
    failed: u64,
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
        let sent = requests.into_iter().map(|request| {
            let app = app.clone();
            async move {
                // The semaphore is never closed.
                let _permit = self.engine().refreshes.acquire().await;
                send(app, request).await
            }
        });
        let mut reports = pin!(stream::iter(sent).buffer_unordered(CONCURRENCY));
        let mut total = WarmUpReport::default();
        while let Some(report) = reports.next().await {
            let count = match report {
                None => &mut total.failed,
                Some(report) if report.hit => &mut total.hits,
                Some(report) if report.stored || report.collapsed => &mut total.stored,
                Some(_) => &mut total.refused,
            };
            *count += 1;
        }
        total
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

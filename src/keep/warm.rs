//! Filling ahead of traffic.

use std::{future::poll_fn, pin::pin};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt;
use tower_service::Service;

use super::Keep;
use crate::semantics::cache_report::CacheReport;

/// How many requests of one warm-up are under way at most.
const AT_ONCE: usize = 8;

/// What became of the requests of a warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmUpReport {
    stored: u64,
    hits: u64,
    refused: u64,
    failed: u64,
}

impl WarmUpReport {
    /// Answers that were stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Requests that were answered from what was stored already.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Answers that may not be stored.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Errors, answers with a status of 500 and above, and answers that broke off.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Stored => self.stored += 1,
            Outcome::Hit => self.hits += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Failed => self.failed += 1,
        }
    }
}

enum Outcome {
    Stored,
    Hit,
    Refused,
    Failed,
}

impl Keep {
    /// Sends `requests` through `app`, in which a [`CacheLayer`](crate::CacheLayer) of this keep
    /// stands, so that their answers are stored before somebody asks. Eight at a time, and with the
    /// refreshes under way not more than 64.
    ///
    /// The requests must be those that will be asked: the same user, where the scope is the user's.
    ///
    /// ```
    /// # use http::{Request, Response};
    /// # use tower::{Layer, service_fn};
    /// # use tower_keep::{CacheLayer, Keep, Route, Scope, Table};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let keep = Keep::new(Table::new()
    ///     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public)))?;
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
    /// Dropped, it sends no more; what was stored stays.
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
                // Never closed.
                let _permit = self.engine().refreshes.acquire().await;
                send(app, request).await
            }
        });
        let mut outcomes = pin!(stream::iter(sent).buffer_unordered(AT_ONCE));
        let mut warmed = WarmUpReport::default();
        while let Some(outcome) = outcomes.next().await {
            warmed.count(outcome);
        }
        warmed
    }
}

async fn send<S, B, R>(app: S, request: Request<B>) -> Outcome
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    let Ok(response) = app.oneshot(request).await else {
        return Outcome::Failed;
    };
    let (head, body) = response.into_parts();
    // To the end: then it has been stored.
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if frame.is_err() {
            return Outcome::Failed;
        }
    }
    match CacheReport::of(&head.headers) {
        _ if head.status.is_server_error() => Outcome::Failed,
        Some(reported) if reported.hit => Outcome::Hit,
        Some(reported) if reported.stored || reported.collapsed => Outcome::Stored,
        _ => Outcome::Refused,
    }
}

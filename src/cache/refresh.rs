//! Refreshing stored responses in the background.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, request};
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    cache_request::CacheRequest,
    config::Config,
    context::{CacheContext, FillLeader},
    forward,
    origin_response::is_worse_than_stored,
    request_constraints::ResponseForm,
};
use crate::{
    engine::{
        coalesce::Leader,
        fill::Fill,
        fill_lock::{FillLock, HeldElsewhere},
        single_flight::LeaderGuard,
    },
    message::{
        drain::drain, http_service::HttpService, matched_route::was_routed,
        replayable_body::ReplayableBody, unconditional_get,
    },
    semantics::cache_control::RequestCacheControl,
    store::entry::Entry,
};

/// A refresh that takes longer is cancelled.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts to refresh the candidate in a spawned task: repeats the request with its fields,
/// credentials and extensions, unless another request, in this or another process, fills the key
/// already.
///
/// The stored response stays if the refresh fails, panics, is late or is refused.
pub(super) fn start<S: HttpService<B>, B: ReplayableBody>(
    config: &Arc<Config>,
    inner: &S,
    request: CacheRequest,
    parts: &request::Parts,
) {
    let candidate = request.candidate.as_ref();
    let Some(found) = candidate.filter(|_| is_replayable(&request, parts)) else {
        return;
    };
    let attempt = Attempt::new(config, &found.entry);
    let engine = config.engine();
    let Some(flight) = engine.fills.try_lead(request.key.as_str()) else {
        return attempt.leave_to_another();
    };
    let Ok(permit) = Arc::clone(&engine.refreshes).try_acquire_owned() else {
        engine.metrics.refresh_skipped.increment(1);
        return attempt.leave_to_another();
    };
    let mut parts = unconditional_get::from_parts(parts);
    if let Some(change) = &config.refresh_parts {
        change(&mut parts);
    }
    let (config, request) = (Arc::clone(config), whole_request(request));
    let mut context = CacheContext::<S, B>::new(config, inner.clone(), request, parts);
    context.is_refresh = true;
    let work = async move {
        let _permit = permit;
        let _ = timeout(DEADLINE, refresh(context, flight, attempt)).await;
    };
    tokio::spawn(work.in_current_span());
}

/// Whether the request can be sent again as a GET: not if its content is part of the key, because the
/// content is not kept; nor if it is a HEAD, and the inner service may be the handler of HEAD alone.
fn is_replayable(request: &CacheRequest, parts: &request::Parts) -> bool {
    let route = request.route.as_ref();
    let needs_content = route.is_some_and(|route| route.needs_body);
    let answers_get = match parts.method {
        Method::GET => true,
        Method::HEAD => !was_routed(&parts.extensions),
        _ => false,
    };
    answers_get && !needs_content
}

/// The request of a background refresh: for the whole response, without the client's
/// `Cache-Control`.
fn whole_request(mut request: CacheRequest) -> CacheRequest {
    request.constraints.form = ResponseForm::WHOLE;
    request.constraints.directives = RequestCacheControl::default();
    request
}

async fn refresh<S: HttpService<B>, B: ReplayableBody>(
    context: CacheContext<S, B>,
    flight: LeaderGuard<Arc<Fill>>,
    attempt: Attempt,
) {
    let config = Arc::clone(&context.config);
    let engine = config.engine();
    let key = context.request.key.clone();
    let lock = match FillLock::acquire(engine, key.as_str()).await {
        Ok(lock) => lock,
        Err(HeldElsewhere) => return attempt.leave_to_another(),
    };
    // Another process may have refreshed it since this one read it from the store.
    let stored = attempt.entry.stored;
    if lock.is_some()
        && let Some(_fresher) = engine
            .tiers
            .lookup_newer(&key, &context.parts.headers, stored)
            .await
    {
        return attempt.succeed();
    }
    engine.metrics.refresh.increment(1);
    let leader: FillLeader = Leader::new(flight, lock);
    let body = B::from_bytes(Bytes::new());
    let Ok(response) = forward::forward(context, body, Some(leader)).await else {
        return;
    };
    if !is_worse_than_stored(response.status()) {
        let body = response.into_body();
        if !body.is_shared() || drain(body).await.is_ok() {
            attempt.succeed();
        }
    }
}

/// A refresh of one entry. If it is dropped, the refresh has failed, and the next one is delayed.
struct Attempt {
    config: Arc<Config>,
    entry: Arc<Entry>,
    has_ended: bool,
}

impl Attempt {
    fn new(config: &Arc<Config>, entry: &Arc<Entry>) -> Self {
        Self {
            config: Arc::clone(config),
            entry: Arc::clone(entry),
            has_ended: false,
        }
    }

    fn succeed(mut self) {
        self.has_ended = true;
    }

    /// Ends the attempt because another request fills the key. The next refresh is delayed: by then
    /// that request has stored its response.
    fn leave_to_another(mut self) {
        self.delay_next();
        self.has_ended = true;
    }

    fn delay_next(&self) {
        let now = self.config.engine().clock.mono();
        self.entry.local.delay_refresh(now);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.has_ended {
            self.config.engine().metrics.fill_failed.increment(1);
            self.delay_next();
        }
    }
}

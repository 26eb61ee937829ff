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
    forward, refresh_request,
};
use crate::{
    engine::{
        coalesce::Leader,
        fill::Fill,
        fill_lock::{FillLock, HeldElsewhere, Locked},
        single_flight::LeaderGuard,
    },
    message::{
        drain::drain, http_service::HttpService, matched_route::was_routed,
        replayable_body::ReplayableBody,
    },
    store::entry::Entry,
};

/// A refresh that takes longer is cancelled.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts to refresh the candidate in a spawned task: repeats the request with its fields and
/// extensions, unless another request, in this or another process, fills the key already.
///
/// The stored response stays if the refresh fails, panics or is late. If a response arrives that may
/// not be stored, the stored one stays while it is fresh, and is removed if it is stale.
pub(super) fn start<S: HttpService<B>, B: ReplayableBody>(
    config: &Arc<Config>,
    inner: &S,
    mut request: CacheRequest,
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
    let Some(parts) = refresh_request::make(config, &mut request, parts) else {
        engine.metrics.refresh_skipped.increment(1);
        return attempt.leave_to_another();
    };
    let context = CacheContext::<S, B>::new(Arc::clone(config), inner.clone(), request, parts);
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

async fn refresh<S: HttpService<B>, B: ReplayableBody>(
    context: CacheContext<S, B>,
    flight: LeaderGuard<Arc<Fill>>,
    attempt: Attempt,
) {
    let config = Arc::clone(&context.config);
    let engine = config.engine();
    let key = context.request.key.clone();
    let lock = match FillLock::acquire(engine, key.as_str(), Locked::Response).await {
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
    let is_error = response.status().is_server_error();
    let body = response.into_body();
    if !is_error && (!body.is_shared() || drain(body).await.is_ok()) {
        attempt.succeed();
    }
}

/// A refresh of one entry. Unless it has succeeded, it is counted as failed when it is dropped.
///
/// Its end delays the next refresh: the entry is still in use if the response was refused, and if
/// another request fills the key, that needs some time.
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

    /// Ends the attempt because another request fills the key, or will.
    fn leave_to_another(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let engine = self.config.engine();
        if !self.has_ended {
            engine.metrics.fill_failed.increment(1);
        }
        self.entry.local.delay_refresh(engine.clock.mono());
    }
}

//! Refreshing stored responses in the background.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, request};
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    config::Config,
    context::{CacheContext, FillLeader},
    fetch,
    origin_response::is_worse_than_stored,
};
use crate::{
    engine::{
        coalesce::Leader,
        fill::Fill,
        fill_lock::{FillLock, HeldElsewhere},
        single_flight::LeaderGuard,
    },
    message::{
        http_service::HttpService, read::drain, replayable_body::ReplayableBody, unconditional_get,
    },
    store::entry::Entry,
};

/// A refresh that takes longer is cancelled.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts to refresh the candidate in a task of its own: repeats the request with its own fields,
/// credentials and extensions, unless another request, here or in another process, fills the key
/// already.
///
/// The stored response stays if the refresh fails, panics, is late or is refused.
pub(super) fn start<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    parts: &request::Parts,
) {
    let request = &context.request;
    let candidate = request.candidate.as_ref();
    let Some(found) = candidate.filter(|_| is_replayable(&context, parts)) else {
        return;
    };
    let attempt = Attempt::new(&context.config, &found.entry);
    let engine = context.engine();
    let Some(flight) = engine.fills.try_lead(request.key.as_str()) else {
        return attempt.left_to_another();
    };
    let Ok(permit) = Arc::clone(&engine.refreshes).try_acquire_owned() else {
        engine.metrics.refresh_skipped.increment(1);
        return attempt.left_to_another();
    };
    let mut parts = unconditional_get::from_parts(parts);
    if let Some(change) = &context.config.refresh_parts {
        change(&mut parts);
    }
    context.is_refresh = true;
    context.request = context.request.for_refresh();
    let work = async move {
        let _permit = permit;
        let _ = timeout(DEADLINE, refresh(context, parts, flight, attempt)).await;
    };
    tokio::spawn(work.in_current_span());
}

/// A request whose content is part of the key is not: the content is gone by now.
fn is_replayable<S, B>(context: &CacheContext<S, B>, parts: &request::Parts) -> bool {
    let route = context.request.route.as_ref();
    let needs_content = route.is_some_and(|route| route.needs_body);
    matches!(parts.method, Method::GET | Method::HEAD) && !needs_content
}

async fn refresh<S, B>(
    context: CacheContext<S, B>,
    parts: request::Parts,
    flight: LeaderGuard<Arc<Fill>>,
    attempt: Attempt,
) where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let config = Arc::clone(&context.config);
    let engine = config.engine();
    let key = context.request.key.clone();
    let lock = match FillLock::acquire(engine, key.as_str()).await {
        Ok(lock) => lock,
        Err(HeldElsewhere) => return attempt.left_to_another(),
    };
    // Another process may have refreshed it since this one read it from the store.
    let stored = attempt.entry.stored;
    if lock.is_some()
        && let Some(_fresher) = engine
            .tiers
            .lookup_newer(&key, &parts.headers, stored)
            .await
    {
        return attempt.succeeded();
    }
    engine.metrics.refresh.increment(1);
    let leader: FillLeader = Leader::new(flight, lock);
    let body = B::from_bytes(Bytes::new());
    let Ok(response) = fetch::run(context, parts, body, Some(leader)).await else {
        return;
    };
    if !is_worse_than_stored(response.status()) {
        let body = response.into_body();
        if !body.is_shared() || drain(body).await.is_ok() {
            attempt.succeeded();
        }
    }
}

/// A refresh of one entry. If it is dropped, the refresh has failed, and the next one is delayed.
struct Attempt {
    config: Arc<Config>,
    entry: Arc<Entry>,
    outcome: RefreshOutcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RefreshOutcome {
    Failed,
    Succeeded,
    /// Another request fills the key; its result is looked for after the same delay.
    LeftToAnother,
}

impl Attempt {
    fn new(config: &Arc<Config>, entry: &Arc<Entry>) -> Self {
        Self {
            config: Arc::clone(config),
            entry: Arc::clone(entry),
            outcome: RefreshOutcome::Failed,
        }
    }

    fn succeeded(mut self) {
        self.outcome = RefreshOutcome::Succeeded;
    }

    fn left_to_another(mut self) {
        self.outcome = RefreshOutcome::LeftToAnother;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.outcome == RefreshOutcome::Succeeded {
            return;
        }
        let engine = self.config.engine();
        if self.outcome == RefreshOutcome::Failed {
            engine.metrics.fill_failed.increment(1);
        }
        self.entry.local.refresh_failed(engine.clock.mono());
    }
}

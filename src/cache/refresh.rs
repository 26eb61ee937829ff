//! Refreshing what is stored behind the caller's back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, request};
use tokio::time::timeout;
use tracing::Instrument;

use super::miss::{Leader, Miss};
use crate::{
    engine::{fill::Fill, single_flight::LeaderGuard},
    keep::handle::Keep,
    message::{
        http_service::HttpService, read::drain, replayable_body::ReplayableBody, unconditional_get,
    },
    store::entry::Entry,
};

/// A refresh that has not come to its end by then is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// Replays the keyed request, with its own fields, credentials and extensions, in a task of its
/// own. Whoever holds the key's lead already does it instead, in this process or in another.
///
/// What is stored stays as it is if the refresh fails, panics, is late or refused.
pub(super) fn start<S, B>(mut miss: Miss<S, B>, parts: &request::Parts)
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let Some(found) = miss
        .asked
        .candidate
        .as_ref()
        .filter(|_| is_replayable(&miss, parts))
    else {
        return;
    };
    let attempt = Attempt::new(&miss.config.keep, &found.entry);
    let keep = miss.keep();
    let Some(flight) = keep.fills.try_lead(miss.asked.key.as_str()) else {
        return attempt.leave_to_another();
    };
    let Ok(permit) = Arc::clone(&keep.refreshes).try_acquire_owned() else {
        keep.metrics.refresh_skipped.increment(1);
        return attempt.leave_to_another();
    };
    let mut parts = unconditional_get::from_parts(parts);
    if let Some(change) = &miss.config.refresh_parts {
        change(&mut parts);
    }
    miss.refreshing = true;
    miss.asked = miss.asked.for_everybody();
    let work = async move {
        let _permit = permit;
        let _ = timeout(DEADLINE, refresh(miss, parts, flight, attempt)).await;
    };
    tokio::spawn(work.in_current_span());
}

/// Not where the content, which nobody has any more, is part of the key.
fn is_replayable<S, B>(miss: &Miss<S, B>, parts: &request::Parts) -> bool {
    let needs_body = miss
        .asked
        .route
        .as_ref()
        .is_some_and(|route| route.needs_body);
    matches!(parts.method, Method::GET | Method::HEAD) && !needs_body
}

async fn refresh<S, B>(
    miss: Miss<S, B>,
    parts: request::Parts,
    flight: LeaderGuard<Arc<Fill>>,
    attempt: Attempt,
) where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let keep = attempt.keep.clone();
    let keep = keep.engine();
    let Ok(fleet) = keep.try_fill_lock(miss.asked.key.as_str()).await else {
        return attempt.leave_to_another();
    };
    let stored = attempt.entry.stored;
    // Another process may have refreshed it since we got our copy.
    if fleet.is_some()
        && keep
            .tiers
            .lookup_newer(&miss.asked.key, &parts.headers, stored)
            .await
            .is_some()
    {
        return attempt.succeeded();
    }
    keep.metrics.refresh.increment(1);
    let lead = Some(Leader::new(flight, fleet));
    let body = B::from_bytes(Bytes::new());
    let Ok(response) = miss.fetch(parts, body, lead).await else {
        return;
    };
    if !is_worse(response.status()) {
        let body = response.into_body();
        if !body.is_shared() || drain(body).await.is_ok() {
            attempt.succeeded();
        }
    }
}

/// Whether what is stored is better than an answer of this status, whatever the table says of it.
pub(super) fn is_worse(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// A refresh of one entry. Dropped, it has failed, and the next one waits a little.
struct Attempt {
    keep: Keep,
    entry: Arc<Entry>,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Failed,
    Succeeded,
    /// Somebody else is at it: what they make of it is looked for in a little while.
    Another,
}

impl Attempt {
    fn new(keep: &Keep, entry: &Arc<Entry>) -> Self {
        Self {
            keep: keep.clone(),
            entry: Arc::clone(entry),
            outcome: Outcome::Failed,
        }
    }

    fn succeeded(mut self) {
        self.outcome = Outcome::Succeeded;
    }

    fn leave_to_another(mut self) {
        self.outcome = Outcome::Another;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.outcome == Outcome::Succeeded {
            return;
        }
        let keep = self.keep.engine();
        if self.outcome == Outcome::Failed {
            keep.metrics.fill_failed.increment(1);
        }
        self.entry.local.refresh_failed(keep.clock.mono());
    }
}

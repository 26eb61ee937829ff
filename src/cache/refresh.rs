//! Refreshing what is stored behind the caller's back.

use bytes::Bytes;
use http::request;
use http_body::Body;
use tracing::Instrument;

use super::miss::Miss;
use crate::{body::RequestBody, http_service::HttpService};

/// Replays the keyed request, with its own fields, credentials and extensions, in a task of its
/// own; whoever holds the key's lead already does it instead.
pub(super) fn start<S, B>(miss: Miss<S, B>, parts: &request::Parts)
where
    S: HttpService<RequestBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    let Some(lead) = miss.keep().fills.try_lead(miss.asked.key.as_str()) else {
        return;
    };
    miss.keep().metrics.refresh.increment(1);
    let parts = replay(parts);
    let entry = miss.asked.candidate.as_ref().map(|found| found.entry.clone());
    let work = async move {
        let keep = miss.config.keep.clone();
        let body = RequestBody::bytes(Bytes::new());
        let refreshed = match miss.fetch(parts, body, Some(lead)).await {
            Ok(response) => !response.status().is_server_error(),
            Err(_) => false,
        };
        if let Some(entry) = entry.filter(|_| !refreshed) {
            keep.shared().metrics.fill_failed.increment(1);
            entry.local.refresh_failed(keep.shared().clock.mono());
        }
    };
    tokio::spawn(work.in_current_span());
}

/// The request once more, asking for the whole and fresh: what one client wants of the answer's
/// form is not what everybody is to get.
fn replay(parts: &request::Parts) -> request::Parts {
    use http::header::{
        CACHE_CONTROL, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
        PRAGMA, RANGE,
    };
    let mut replayed = parts.clone();
    if replayed.method == http::Method::HEAD {
        replayed.method = http::Method::GET;
    }
    for name in [
        CACHE_CONTROL,
        PRAGMA,
        RANGE,
        IF_RANGE,
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
    ] {
        replayed.headers.remove(name);
    }
    replayed
}

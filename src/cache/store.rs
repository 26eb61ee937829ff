//! Deciding whether an answer is stored, and storing it while it is sent on.

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode, header::CONTENT_LENGTH};

use super::{
    answer,
    asked::{Asked, Sent},
    fetch::{Fetched, Seen},
    fill,
    layer::Config,
    miss::{Answer, Leading, Miss},
    recipe::{Recipe, Storable},
    refresh, tags,
};
use crate::{
    message::{
        client_request::ClientRequest, http_service::HttpService, replayable_body::ReplayableBody,
        response_body::ResponseBody,
    },
    semantics::storable::Refusal,
};

/// Stores the inner service's answer if that may be, and answers with it.
pub(super) async fn answer<S, B>(
    mut miss: Miss<S, B>,
    fetched: Fetched<S::ResponseBody>,
    original: ClientRequest,
    lead: &mut Leading,
) -> Answer<S, B>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let worse = miss.refreshing && refresh::is_worse(fetched.seen.head.status);
    let recipe = if worse {
        Err(Refusal::Status)
    } else {
        recipe(&miss.config, &miss.asked, &fetched.seen, &original)
    };
    let recipe = match recipe {
        Ok(recipe) => recipe,
        Err(refusal) => return refused(&mut miss, fetched, &original, refusal, lead).await,
    };
    let Fetched { seen, body } = fetched;
    let waits = miss.good_without_inner().is_some();
    let started = match fill::start(recipe, body, lead.take(), waits).await {
        Ok(started) => started,
        Err(broken) => {
            let stale = miss.stale_on_disconnect(&original);
            return stale.unwrap_or_else(|| {
                labelled(&miss, seen, broken, &original, false, Some("broken-off"))
            });
        }
    };
    let stored = started.is_stored();
    match started.entry {
        Some(entry) if miss.asked.traits.shape.range && miss.asked.sent != Sent::AsAsked => {
            let status = answer::forwarded(miss.asked.forward_reason(), true);
            let now = miss.keep().clock.now();
            let headers = &original.headers;
            answer::stored(&miss.asked.traits, &entry, headers, now, Some(&status))
                .unwrap_or_else(|| labelled(&miss, seen, started.body, &original, true, None))
        }
        _ => labelled(&miss, seen, started.body, &original, stored, None),
    }
}

/// How this answer is stored, if it may be.
pub(super) fn recipe(
    config: &Arc<Config>,
    asked: &Asked,
    seen: &Seen,
    original: &ClientRequest,
) -> Result<Recipe, Refusal> {
    if seen.head.headers.len() > MOST_FIELDS {
        return Err(Refusal::Size);
    }
    let storable = storable(config, asked, seen, original)?;
    let length = content_length(seen);
    let cap = asked.max_body();
    if length.is_some_and(|length| length > cap as u64) {
        return Err(Refusal::Size);
    }
    let mut asked = asked.clone();
    asked.settle_key(config.keep.engine(), original, &seen.head.headers);
    Ok(Recipe {
        config: Arc::clone(config),
        asked,
        original: original.clone(),
        storable,
        capture: seen.capture,
        cap,
        length,
    })
}

fn storable(
    config: &Config,
    asked: &Asked,
    seen: &Seen,
    original: &ClientRequest,
) -> Result<Storable, Refusal> {
    let head = &seen.head;
    let request = original.head(asked.traits.credentials);
    // An error may be about the range or the precondition, which are in no key.
    let has_failed = head.status.is_client_error() || head.status.is_server_error();
    if has_failed && asked.sent == Sent::AsAsked && !asked.traits.shape.is_unconditional() {
        return Err(Refusal::Status);
    }
    let route = asked.route.as_deref();
    let stored = (asked.snapshot).storable(&request, head, &seen.exchange, route)?;
    let condition = config.store_if.as_ref();
    if condition.is_some_and(|agrees| !agrees(head)) {
        return Err(Refusal::Condition);
    }
    let tags = tags::of(asked, original, &seen.tag_fields).ok_or(Refusal::Tags)?;
    let vary = stored.vary.clone();
    let variant = (!vary.is_empty()).then(|| vary.variant(&original.headers, &head.headers));
    let (position, user) = (seen.capture.position, asked.key.user());
    let mut head = stored.into_entry(position, asked.entity(), user, tags);
    // Whoever shares it while it comes judges it by when it was asked for, too.
    head.local.captured = seen.capture.at;
    Ok(Storable {
        head: Arc::new(head),
        variant,
    })
}

/// Passes on what is not stored; whoever waited for it is released with the lead.
async fn refused<S, B>(
    miss: &mut Miss<S, B>,
    fetched: Fetched<S::ResponseBody>,
    original: &ClientRequest,
    refusal: Refusal,
    lead: &mut Leading,
) -> Answer<S, B>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let keep = miss.keep();
    // What is refused to who shares nothing says nothing of the others.
    if refusal.is_lasting() && miss.asked.collapses() && !miss.refreshing {
        keep.uncacheable
            .insert(miss.asked.key.as_str(), keep.clock.mono(), UNCACHEABLE_FOR);
        if let Some(lead) = lead {
            lead.is_noted_uncacheable(keep, &fetched.seen.capture);
        }
    }
    keep.metrics.refused.increment(1);
    let Fetched { seen, body } = fetched;
    // RFC 9111 section 4.3.3: what was to be validated is not what the origin has now.
    if let Some((stored, _)) = miss.asked.candidate_response()
        && miss.asked.sent == Sent::Validating
        && supersedes(seen.head.status)
    {
        miss.asked
            .end(keep, stored, &original.headers, refusal)
            .await;
    }
    let body = ResponseBody::inner(body);
    labelled(miss, seen, body, original, false, Some(refusal.reason()))
}

/// Whether an answer says that another representation, or none, is in the place of what is stored.
fn supersedes(status: StatusCode) -> bool {
    status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// The inner service's own answer, as far as the client's preconditions let it have one.
fn labelled<S, B>(
    miss: &Miss<S, B>,
    seen: Seen,
    body: ResponseBody<S::ResponseBody>,
    original: &ClientRequest,
    stored: bool,
    detail: Option<&'static str>,
) -> Answer<S, B>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let received = seen.exchange.received;
    let mut head = seen.head;
    answer::label(&mut head, miss.asked.forward_reason(), stored, detail);
    let response = Response::from_parts(head, body);
    if miss.asked.sent == Sent::AsAsked {
        return response;
    }
    answer::conditionally(&miss.asked, &original.headers, response, received)
}

/// How long a key whose answer was not shareable is taken to have others of the kind.
pub(super) const UNCACHEABLE_FOR: Duration = Duration::from_secs(10);

/// More than any server sends, and little enough for a map to take some of ours beside them.
const MOST_FIELDS: usize = 8 * 1024;

/// What a 204 says about its length is not to be believed (RFC 9110 section 8.6).
fn content_length(seen: &Seen) -> Option<u64> {
    let length = seen.head.headers.get(CONTENT_LENGTH)?;
    let said: Option<u64> = length.to_str().ok()?.parse().ok();
    said.filter(|_| seen.head.status != StatusCode::NO_CONTENT)
}

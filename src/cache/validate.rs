//! Asking the inner service whether what is stored is still good (RFC 9111 section 4.3), or for
//! what is missing of it (section 3.4).

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use super::{
    answer,
    asked::{Asked, Sent},
    fetch::{Fetched, Seen},
    miss::{Answer, Leading, Miss},
    recipe::{self, Recipe},
    store,
};
use crate::{
    message::{client_request::ClientRequest, request_body::ReplayableBody, service::HttpService},
    semantics::{
        cache_status::{CacheOutcome, CacheStatus, Forward},
        conditional,
        partial::{self, Completion},
        range::{self, Selection},
        request_head::RequestHead,
        storable::Refusal,
        stored::StoredResponse,
        update::{self, HeadEffect, UpdatedHead},
    },
    store::entry::{Content, Entry},
};

/// What the request to the inner service asks beyond what the client asked.
pub(super) enum Prepared {
    /// Nothing.
    Plain,
    /// Whether this is still good.
    Validating(Arc<Entry>),
    /// For the rest of this part.
    Completing,
}

/// Makes `headers` ask for what can be stored, or whether what is stored is still good.
pub(super) fn prepare(asked: &mut Asked, headers: &mut HeaderMap) -> Prepared {
    let shape = asked.traits.shape;
    if shape.head {
        return Prepared::Plain;
    }
    // A validator that knows nothing of users would confirm to one what was made for nobody.
    let candidate = asked.candidate_response();
    if let Some((entry, response)) = candidate.filter(|(_, response)| asked.may_have(response)) {
        let (status, stored) = (response.status, &response.headers);
        let entry = Arc::clone(entry);
        match response.part {
            None if conditional::validate(headers, status, stored) => {
                asked.sent = Sent::Validating;
                return Prepared::Validating(entry);
            }
            None => {}
            Some(_) if shape.conditional => {}
            // The range stays: where the part is no longer good, its answer is the client's.
            Some(_) if shape.range => {
                let asks = is_covered(headers, response)
                    && conditional::add_validators(headers, status, stored);
                if asks {
                    return Prepared::Validating(entry);
                }
            }
            // What would be too large to store is not put together.
            Some(part)
                if part
                    .complete
                    .is_some_and(|all| all > asked.max_body() as u64) => {}
            Some(part) => {
                if let Some(rest) = partial::completion(stored, part, response.body.len() as u64) {
                    ask_for(rest, headers);
                    return Prepared::Completing;
                }
            }
        }
    }
    if asked.route.is_some() {
        // The author vouches for the route: its whole answer serves everybody, this client too.
        conditional::make_unconditional(headers);
        asked.sent = Sent::Whole;
    }
    Prepared::Plain
}

fn ask_for(rest: Completion, headers: &mut HeaderMap) {
    headers.insert(header::RANGE, rest.range);
    if let Some(validator) = rest.if_range {
        headers.insert(header::IF_RANGE, validator);
    }
}

/// Whether a stored part has the bytes that are asked for.
fn is_covered(headers: &HeaderMap, stored: &StoredResponse) -> bool {
    matches!(range::select(headers, stored), Selection::Spans(_))
}

/// What the inner service's answer makes of what was prepared.
// It is taken apart at once.
#[allow(clippy::large_enum_variant)]
pub(super) enum Resolved<A, B> {
    Answered(A),
    /// An answer as any other.
    Fetched(Fetched<B>),
    /// An answer to a question that the client has not asked.
    Useless,
}

pub(super) async fn resolve<S, B>(
    miss: &mut Miss<S, B>,
    prepared: Prepared,
    fetched: Fetched<S::ResponseBody>,
    original: &ClientRequest,
    lead: &Leading,
) -> Resolved<Answer<S, B>, S::ResponseBody>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let status = fetched.seen.head.status;
    match prepared {
        Prepared::Validating(stored) if status == StatusCode::NOT_MODIFIED => {
            match confirmed(miss, &stored, &fetched.seen, original, lead).await {
                Some(answer) => Resolved::Answered(answer),
                None => Resolved::Useless,
            }
        }
        Prepared::Completing if status == StatusCode::PARTIAL_CONTENT => {
            completed(miss, fetched, original, lead).await
        }
        // The range and the precondition were ours: what is wrong with them is not the client's.
        Prepared::Completing if status.is_client_error() => Resolved::Useless,
        Prepared::Validating(_) if status == StatusCode::PRECONDITION_FAILED => Resolved::Useless,
        _ => Resolved::Fetched(fetched),
    }
}

/// Answers with what is stored, which a 304 has confirmed and updated.
async fn confirmed<S, B>(
    miss: &mut Miss<S, B>,
    stored: &Arc<Entry>,
    seen: &Seen,
    original: &ClientRequest,
    lead: &Leading,
) -> Option<Answer<S, B>>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let Content::Response(response) = &stored.content else {
        return None;
    };
    if !conditional::selects(&seen.head.headers, &response.headers) {
        return None;
    }
    let updated = updated(&miss.asked, stored, response, seen, original);
    let keep = miss.keep();
    keep.metrics.validated.increment(1);
    let status = CacheStatus {
        outcome: CacheOutcome::Forward {
            reason: miss.asked.forward_reason(),
            status: Some(seen.head.status),
            stored: updated.is_ok(),
            collapsed: None,
        },
        ..CacheStatus::forward(Forward::Stale)
    };
    let entry = match updated {
        Ok(entry) => {
            let variant = miss.asked.variant(&entry, &original.headers);
            miss.asked.put(keep, &seen.capture, &entry, original).await;
            recipe::hand_out(lead, &entry, variant.as_ref());
            entry
        }
        Err((entry, why)) => {
            miss.asked.end(keep, stored, &original.headers, why).await;
            entry
        }
    };
    let now = keep.clock.now();
    answer::stored(
        &miss.asked.traits,
        &entry,
        &original.headers,
        now,
        Some(&status),
    )
}

/// What is stored with the fields of a newer answer: `Ok` to be stored in its place, `Err` for
/// this request alone, and why.
fn updated(
    asked: &Asked,
    stored: &Entry,
    response: &StoredResponse,
    seen: &Seen,
    original: &ClientRequest,
) -> Result<Arc<Entry>, (Arc<Entry>, Refusal)> {
    // What is stored answered a GET.
    let request = RequestHead {
        method: &Method::GET,
        ..original.head(asked.traits.credentials)
    };
    let UpdatedHead { headers, lifetime } = update::update(
        &request,
        response.status,
        &response.headers,
        &seen.head.headers,
        &seen.exchange,
        &asked.policy(),
    );
    let refusal = lifetime.err();
    let lifetime = asked.jittered(lifetime.unwrap_or_default());
    let received = seen.exchange.received;
    let mut entry = stored.with(Content::Response(StoredResponse {
        headers,
        lifetime,
        ..response.clone()
    }));
    entry.position = seen.capture.position;
    entry.local.captured = seen.capture.at;
    entry.stored = received;
    entry.expires = asked.expiry(&lifetime, received, true);
    if seen.head.status != StatusCode::NOT_MODIFIED && !update::has_validator(&seen.head.headers) {
        // Asked for again and again, it would never come to its end.
        entry.expires = entry.expires.min(stored.expires);
    }
    let entry = Arc::new(entry);
    match refusal {
        None => Ok(entry),
        Some(why) => Err((entry, why)),
    }
}

/// Answers with the whole that a stored part and the rest make together.
async fn completed<S, B>(
    miss: &mut Miss<S, B>,
    fetched: Fetched<S::ResponseBody>,
    original: &ClientRequest,
    lead: &Leading,
) -> Resolved<Answer<S, B>, S::ResponseBody>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let Ok(recipe) = store::recipe(&miss.config, &miss.asked, &fetched.seen, original) else {
        return Resolved::Useless;
    };
    match whole(miss, recipe, fetched.body, original, lead).await {
        Some(answer) => Resolved::Answered(answer),
        None => Resolved::Useless,
    }
}

async fn whole<S, B>(
    miss: &mut Miss<S, B>,
    recipe: Recipe,
    rest: S::ResponseBody,
    original: &ClientRequest,
    lead: &Leading,
) -> Option<Answer<S, B>>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let rest = Limited::new(rest, recipe.cap).collect().await.ok()?;
    let entry = recipe.complete([&rest.to_bytes()], None, lead).await?;
    let combined = matches!(&entry.content, Content::Response(r) if r.part.is_none());
    if !combined {
        return None;
    }
    let status = CacheStatus {
        outcome: CacheOutcome::Forward {
            reason: Forward::Partial,
            status: Some(StatusCode::PARTIAL_CONTENT),
            stored: true,
            collapsed: None,
        },
        ..CacheStatus::forward(Forward::Partial)
    };
    let now = miss.keep().clock.now();
    let traits = &miss.asked.traits;
    answer::stored(traits, &entry, &original.headers, now, Some(&status))
}

/// What the answer to a HEAD says about the stored answer to a GET (RFC 9111 section 4.3.5).
///
/// Where it updates what is stored, that answers: with the fields that the next HEAD will be
/// answered with too, those included that the inner service does not tell without content.
pub(super) async fn seen_by_head<S, B>(
    miss: &mut Miss<S, B>,
    seen: &Seen,
    original: &ClientRequest,
) -> Option<Answer<S, B>>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let (stored, response) = miss.asked.candidate_response()?;
    let length = response
        .part
        .is_none()
        .then_some(response.body.len() as u64);
    let head = &seen.head;
    let keep = miss.keep();
    match update::head_effect(head.status, &head.headers, &response.headers, length) {
        HeadEffect::None => {}
        HeadEffect::MarkStale if miss.asked.speaks_for_others() => {
            keep.forget(&miss.asked.key, &original.headers, stored)
                .await;
        }
        HeadEffect::MarkStale => {}
        HeadEffect::Update => match updated(&miss.asked, stored, response, seen, original) {
            Ok(entry) => {
                miss.asked.put(keep, &seen.capture, &entry, original).await;
                let status = answer::forwarded(miss.asked.forward_reason(), true);
                let (traits, now) = (&miss.asked.traits, keep.clock.now());
                return answer::stored(traits, &entry, &original.headers, now, Some(&status));
            }
            Err((_, why)) => miss.asked.end(keep, stored, &original.headers, why).await,
        },
    }
    None
}

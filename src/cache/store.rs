//! Deciding whether an answer is stored, and storing it while it is sent on.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, header::CONTENT_LENGTH};
use http_body::Body;

use super::{
    answer,
    fetch::{Fetched, Original, Seen},
    fill,
    miss::{Answer, Leading, Miss},
    recipe::{Recipe, Storable},
    refresh,
    tags,
};
use crate::{
    body::{RequestBody, ResponseBody},
    entry::{Content, Entry, LocalState, StoredResponse},
    http_service::HttpService,
    semantics::{
        fields::Storing,
        storable::{self, Refusal},
        vary::VaryFields,
    },
};

/// Stores the inner service's answer if that may be, and answers with it.
pub(super) async fn answer<S, B>(
    miss: Miss<S, B>,
    fetched: Fetched<S::ResponseBody>,
    original: Original,
    lead: &mut Leading,
) -> Answer<S, B>
where
    S: HttpService<RequestBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    let recipe = match recipe(&miss, &fetched.seen, &original) {
        Ok(recipe) => recipe,
        Err(refusal) => return refused(&miss, fetched, refusal, lead),
    };
    let Fetched { seen, body } = fetched;
    let mut head = seen.head;
    let received = recipe.storable.head.stored;
    let body = fill::start(recipe, body, lead.take()).await;
    answer::label(&mut head, miss.asked.forward_reason(), true, None);
    let response = Response::from_parts(head, body);
    answer::conditionally(&miss.asked, &original.headers, response, received)
}

/// How this answer is stored, if it may be.
pub(super) fn recipe<S, B>(
    miss: &Miss<S, B>,
    seen: &Seen,
    original: &Original,
) -> Result<Recipe, Refusal> {
    if miss.refreshing && refresh::is_worse(seen.head.status) {
        return Err(Refusal::Status);
    }
    if seen.head.headers.len() > MOST_FIELDS {
        return Err(Refusal::Size);
    }
    let storable = storable(miss, seen, original)?;
    let length = content_length(seen);
    let cap = miss.asked.max_body();
    if length.is_some_and(|length| length > cap as u64) {
        return Err(Refusal::Size);
    }
    Ok(Recipe {
        config: Arc::clone(&miss.config),
        asked: miss.asked.clone(),
        original: original.clone(),
        storable,
        capture: seen.capture,
        cap,
        length,
    })
}

fn storable<S, B>(
    miss: &Miss<S, B>,
    seen: &Seen,
    original: &Original,
) -> Result<Storable, Refusal> {
    let asked = &miss.asked;
    let policy = asked.policy();
    let head = &seen.head;
    let exchange = &seen.exchange;
    let request = original.head(asked.traits.credentials);
    let lifetime = storable::decide(&request, head.status, &head.headers, exchange, &policy)?;
    let condition = miss.config.store_if.as_ref();
    if condition.is_some_and(|agrees| !agrees(head)) {
        return Err(Refusal::Condition);
    }
    let vary = VaryFields::of(&head.headers, asked.table_vary()).map_err(|_| Refusal::Vary)?;
    let tags = tags::of(asked, original, head).ok_or(Refusal::Tags)?;
    let lifetime = asked.jittered(lifetime);
    let received = exchange.received;
    let headers = Storing::of(&head.headers, policy.strip).select(&head.headers, received);
    let has_validator = storable::can_be_validated(head.status, &headers);
    let response = StoredResponse {
        status: head.status,
        headers,
        body: Bytes::new(),
        trailers: None,
        lifetime,
        part: None,
        cost: received.since(exchange.requested),
    };
    let head = Entry {
        content: Content::Response(response),
        position: seen.capture.position,
        stored: received,
        expires: asked.expiry(&lifetime, received, has_validator),
        entity: asked.entity().into(),
        user: asked.key.user().map(Into::into),
        tags,
        local: LocalState::default(),
    };
    let variant = (!vary.is_empty()).then(|| vary.variant(&original.headers, &seen.head.headers));
    Ok(Storable {
        head: Arc::new(head),
        variant,
    })
}

/// Passes on what is not stored; whoever waited for it is released with the lead.
fn refused<S, B>(
    miss: &Miss<S, B>,
    fetched: Fetched<S::ResponseBody>,
    refusal: Refusal,
    lead: &mut Leading,
) -> Answer<S, B>
where
    S: HttpService<RequestBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    let keep = miss.keep();
    if refusal.is_lasting() && !miss.asked.traits.shape.head && !miss.refreshing {
        keep.misfits.remember(miss.asked.key.as_str(), keep.clock.mono(), MISFIT);
        if let Some(lead) = lead {
            lead.is_unshared(keep, &fetched.seen.capture);
        }
    }
    keep.metrics.refused.increment(1);
    let Fetched { seen, body } = fetched;
    let mut head = seen.head;
    let reason = miss.asked.forward_reason();
    answer::label(&mut head, reason, false, Some(refusal.reason()));
    Response::from_parts(head, ResponseBody::inner(body))
}

/// How long a key whose answer was not shareable is taken to have others of the kind.
pub(super) const MISFIT: Duration = Duration::from_secs(10);

/// More than any server sends, and little enough for a map to take some of ours beside them.
const MOST_FIELDS: usize = 8 * 1024;

fn content_length(seen: &Seen) -> Option<u64> {
    seen.head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
}

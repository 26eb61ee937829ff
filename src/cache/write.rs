//! A request that may change something, where no `InvalidateLayer` sees to it.

use std::sync::Arc;

use http::{Request, Response, StatusCode, request};
use tower::ServiceExt;

use super::{
    answer, ask::Ask, asked::Asked, fetch::Seen, fill, layer::Config, miss::Answer, store,
};
use crate::{
    engine::write_targets::WriteTargets,
    key::{Key, KeyBuf, purge::PurgeTarget},
    message::{
        http_service::HttpService, replayable_body::ReplayableBody, response_body::ResponseBody,
    },
    semantics::{cache_status::Forward, freshness::Exchange},
};

/// Passes the request on; a success makes what is stored for its target, and for what
/// `Location` and `Content-Location` name, unusable (RFC 9111 section 4.4), and so does its
/// `Cache-Group-Invalidation` (RFC 9875).
///
/// Who leaves before the answer takes the invalidation along: that is what `InvalidateLayer`
/// is for.
pub(super) async fn run<S, B>(
    config: Arc<Config>,
    inner: S,
    parts: request::Parts,
    body: B,
) -> Result<Answer<S, B>, S::ServiceError>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let keep = config.keep.engine();
    let changed = WriteTargets::new(keep.client_request(&parts), None);
    let own = own_key(&config, &parts);
    let original = keep.client_request(&parts);
    let asked = asked_by_get(&config, &parts, &changed);
    // Taken before the call: what is invalidated from here on wins.
    let capture = keep.fence.capture();
    let requested = keep.clock.now().wall;
    let request = Request::from_parts(parts, body);
    let response = inner.oneshot(request).await?;
    let received = keep.clock.now().wall;
    let mut subjects = changed.purge_targets(keep, &response);
    if !subjects.is_empty() {
        subjects.extend(own.map(|key| PurgeTarget::Key(key.as_str().into())));
    }
    subjects.append(&mut changed.groups(&response));
    let (mut head, body) = response.into_parts();
    let tag_fields = config.tag_fields.take(&mut head.headers);
    let mut seen = Seen {
        head,
        tag_fields,
        capture,
        exchange: Exchange {
            requested,
            received,
        },
    };
    let recipe = asked
        .filter(|_| seen.head.status == StatusCode::OK)
        .and_then(|asked| store::recipe(&config, &asked, &seen, &original).ok());
    let Some(mut recipe) = recipe else {
        if !subjects.is_empty() {
            // What the journal does not take now is queued, and unusable here until it does.
            let _ = keep.invalidate(subjects, false).await;
        }
        return Ok(Response::from_parts(seen.head, ResponseBody::inner(body)));
    };
    if !recipe.invalidate(subjects).await {
        return Ok(Response::from_parts(seen.head, ResponseBody::inner(body)));
    }
    let (stored, body) = match fill::start(recipe, body, None, false).await {
        Ok(started) => (started.is_stored(), started.body),
        Err(broken) => (false, broken),
    };
    answer::label(&mut seen.head, Forward::Method, stored, None);
    Ok(Response::from_parts(seen.head, body))
}

/// What a GET of the target asks for, where the write's own answer may be its answer too.
fn asked_by_get(config: &Config, parts: &request::Parts, changed: &WriteTargets) -> Option<Asked> {
    let snapshot = config.keep.engine().snapshot.load_full();
    if !changed.may_answer_get(&snapshot) || changed.is_ambiguous() {
        return None;
    }
    let mut key = KeyBuf::new();
    match Ask::of_url(config, &snapshot, parts, &mut key) {
        Ask::Stored(glance) => Some(glance.own(&snapshot)),
        _ => None,
    }
}

/// The key that the layer's own function gives to the target.
fn own_key(config: &Config, parts: &request::Parts) -> Option<Key> {
    let derive = config.key.as_ref()?;
    let keep = config.keep.engine();
    let snapshot = keep.snapshot.load();
    let target = keep.target(parts);
    snapshot.plan.route(target.path, target.host)?;
    derive(parts)
}

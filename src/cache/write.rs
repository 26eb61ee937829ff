//! A request that may change something, where no `InvalidateLayer` sees to it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, request};
use http_body::Body;
use tower::ServiceExt;

use super::{layer::Config, miss::Answer};
use crate::{
    body::{RequestBody, ResponseBody},
    http_service::HttpService,
    keep::targets::Changed,
    key::Key,
    origin::Target,
    store::journal::Subject,
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
    S: HttpService<RequestBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    let keep = config.keep.shared();
    let changed = Changed::by(&parts, None);
    let own = own_key(&config, &parts);
    let request = Request::from_parts(parts, RequestBody::original(body));
    let response = inner.oneshot(request).await?;
    let mut subjects = changed.subjects(keep, &response);
    if !subjects.is_empty() {
        subjects.extend(own.map(|key| Subject::Key(key.as_str().into())));
    }
    subjects.append(&mut changed.groups(&response));
    if !subjects.is_empty() {
        // What the journal does not take now is queued, and unusable here until it does.
        let _ = keep.invalidate(subjects, false).await;
    }
    Ok(response.map(ResponseBody::inner))
}

/// The key that the layer's own function gives to the target.
fn own_key(config: &Config, parts: &request::Parts) -> Option<Key> {
    let derive = config.key.as_ref()?;
    let snapshot = config.keep.shared().snapshot.load();
    let target = Target::of(parts);
    snapshot.plan.route(target.path, target.host)?;
    derive(parts)
}

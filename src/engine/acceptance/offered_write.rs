//! Making the queue's record of a request.

use bytes::Bytes;
use http::{HeaderMap, Uri, request};

use super::{coalescing, idempotency, kept_fields, not_accepted::NotAccepted};
use crate::{
    engine::{core::Engine, snapshot::Snapshot, write_targets::WriteTargets},
    key::{KeyBuf, KeyInputs, purge::PurgeTarget},
    message::{
        client_request::ClientRequest,
        target::{self, Target},
    },
    store::contracts::queue::{Coalescing, NewWrite},
    table::{KeyError, RouteMatch},
    write_queue::{
        MAX_FIELDS, WriteId,
        request::{MAX_TARGETS, QueuedRequest},
    },
};

/// A request whose write is to be queued.
#[derive(Debug)]
pub(crate) struct OfferedWrite<'a> {
    pub(crate) parts: &'a request::Parts,
    pub(crate) content: &'a Bytes,
    /// The request's `Idempotency-Key`.
    pub(crate) idempotency_key: Option<&'a str>,
    /// Whether what the write shows before it is applied may be shown to every user.
    pub(crate) is_vouched: bool,
}

impl OfferedWrite<'_> {
    /// The write as the queue takes it, with a new id.
    ///
    /// # Errors
    ///
    /// If the request cannot be queued: [`NotAccepted`] says why.
    pub(super) fn into_new_write(
        self,
        engine: &Engine,
        snapshot: &Snapshot,
    ) -> Result<NewWrite, NotAccepted> {
        let client = engine.client_request(self.parts);
        let matched = behind_route(snapshot, &client)?;
        let user = engine.user(snapshot, self.parts);
        let user = user.as_ref().map(|user| user.id());
        let request = self.queued_request(engine, snapshot, &matched, client, user)?;
        if request.headers.len() > MAX_FIELDS {
            return Err(NotAccepted::TooManyFields);
        }
        let settings = matched.plan().behind.as_ref();
        let coalescing = match settings.filter(|settings| settings.coalesce) {
            Some(settings) => coalescing::of(&request, &settings.keep_fields),
            None => Coalescing::Never,
        };
        let partition = engine.queue.partition_of(&request.key);
        Ok(NewWrite {
            id: WriteId::random(partition).map_err(NotAccepted::Refused)?,
            key: request.key.clone(),
            user: request.user.clone(),
            idempotency: self
                .idempotency_key
                .map(|key| idempotency::of(&request, key)),
            coalescing,
            request: request.encode(),
        })
    }

    fn queued_request(
        &self,
        engine: &Engine,
        snapshot: &Snapshot,
        matched: &RouteMatch<'_>,
        client: ClientRequest,
        user: Option<&str>,
    ) -> Result<QueuedRequest, NotAccepted> {
        let route = matched.plan();
        let key = queue_key(matched, client.target(), &client.headers, user);
        let key = key.map_err(NotAccepted::NoKey)?;
        let (method, host) = (client.method.clone(), client.target().host.map(Into::into));
        let uri = without_credentials(&client.uri, snapshot);
        let named = route.behind.as_ref().map(|behind| &*behind.keep_fields);
        let headers = kept_fields::select(
            &client.headers,
            named.unwrap_or_default(),
            &snapshot.plan.identity,
            self.content.len(),
        );
        Ok(QueuedRequest {
            key,
            route: route.path.clone(),
            method,
            uri,
            host,
            headers,
            body: self.content.clone(),
            user: user.map(Into::into),
            is_vouched: self.is_vouched,
            targets: targets(engine, snapshot, client, user, &route.path),
        })
    }
}

/// The key in the queue of a request that matches this route.
///
/// # Errors
///
/// If the request lacks a value of the key.
pub(crate) fn queue_key(
    matched: &RouteMatch<'_>,
    target: Target<'_>,
    headers: &HeaderMap,
    user: Option<&str>,
) -> Result<Box<str>, KeyError> {
    let inputs = KeyInputs {
        host: target.host,
        scheme: target.scheme,
        path: target.path,
        query: target.query,
        headers,
        user,
        body: None,
    };
    let mut key = KeyBuf::new();
    // Versions are no part of the queue's key.
    matched.key(&inputs, 0, &mut key)?;
    Ok(key.queue_key())
}

/// The route with `write = "behind"` that serves a request.
fn behind_route<'p>(
    snapshot: &'p Snapshot,
    client: &ClientRequest,
) -> Result<RouteMatch<'p>, NotAccepted> {
    let (plan, target) = (&snapshot.plan, client.target());
    if plan.is_ambiguous(target.path) {
        return Err(NotAccepted::AmbiguousPath);
    }
    let matched = plan.route(target.path, target.host);
    let is_behind = |matched: &RouteMatch<'_>| {
        matched.plan().behind.is_some() && !matched.plan().is_safe(&client.method)
    };
    let matched = matched.filter(is_behind).ok_or(NotAccepted::NotBehind)?;
    // User information in an authority is a credential, which must not be stored.
    let has_user_info = client.target().host.is_some_and(|host| host.contains('@'));
    if has_user_info || (matched.plan().key_names_host && client.is_ambiguous()) {
        return Err(NotAccepted::AmbiguousHost);
    }
    Ok(matched)
}

/// The targets that the write may change: those that an `InvalidateLayer` invalidates after a write
/// whose response is unknown.
fn targets(
    engine: &Engine,
    snapshot: &Snapshot,
    client: ClientRequest,
    user: Option<&str>,
    path: &str,
) -> Vec<PurgeTarget> {
    let changed = WriteTargets::new(client, user);
    let own = changed.targets(snapshot).into_iter();
    let named: Vec<_> = own.chain(changed.invalidates(snapshot, None)).collect();
    let skipped = named.iter().filter(|target| target.is_none()).count();
    engine.write_reports.targets_skipped(skipped, path);
    let mut targets: Vec<_> = named.into_iter().flatten().collect();
    targets.sort_unstable();
    targets.dedup();
    if targets.len() > MAX_TARGETS {
        return vec![PurgeTarget::Everything];
    }
    targets
}

/// The target without the parameters of its query that are credentials.
fn without_credentials(uri: &Uri, snapshot: &Snapshot) -> Uri {
    let names = &snapshot.plan.identity.credentials;
    let parameters = names.parameters(uri.query().unwrap_or_default());
    parameters.fold(uri.clone(), |uri, parameter| {
        // What is left of a valid target is one.
        target::without_parameter(&uri, parameter).unwrap_or(uri)
    })
}

//! Making a cache request, with its key, from the head of a client's request.

use http::{Method, Uri, request};

use super::{
    cache_request::CacheRequestRef,
    config::Config,
    field_presence::FieldPresence,
    request_constraints::{RequestConstraints, ResponseForm},
};
use crate::{
    engine::snapshot::Snapshot,
    identity::User,
    key::{ContentHash, KeyBuf, KeyInputs, url_key},
    message::target::{self, Target},
    semantics::{cache_control::RequestCacheControl, storage_policy::SharingScope, upgrade},
    table::{self, KeyError, Plan, RouteMatch},
};

/// What a cache request is made from: the head of the client's request, and the settings that apply.
#[derive(Clone, Copy)]
pub(super) struct RequestSource<'a, 'p> {
    pub(super) config: &'a Config,
    snapshot: &'p Snapshot,
    pub(super) parts: &'a request::Parts,
    /// The URI as received.
    uri: &'a Uri,
    pub(super) fields: FieldPresence,
}

impl<'a, 'p> RequestSource<'a, 'p> {
    #[inline]
    pub(super) fn new(
        config: &'a Config,
        snapshot: &'p Snapshot,
        parts: &'a request::Parts,
        uri: &'a Uri,
    ) -> Self {
        Self {
            config,
            snapshot,
            parts,
            uri,
            fields: FieldPresence::of(&parts.headers, &snapshot.plan.identity),
        }
    }

    /// Makes the cache request of a route, and writes its key to `key`; `content` is given if the key
    /// contains it.
    ///
    /// # Errors
    ///
    /// If the request has no key: it bypasses the cache.
    #[inline]
    pub(super) fn by_route(
        self,
        matched: &RouteMatch<'p>,
        content: Option<ContentHash>,
        key: &'p mut KeyBuf,
    ) -> Result<CacheRequestRef<'p>, KeyError> {
        let route = matched.plan();
        let scope = route.sharing();
        // The user is not determined if all users get the same response.
        let user = match scope {
            SharingScope::Public if !route.key_names_user => None,
            _ => self.user(),
        };
        let user = user.as_ref().map(User::id);
        let host = route.key_names_host.then(|| self.host()).flatten();
        let version = self.snapshot.version(route.id);
        let inputs = self.inputs(host, user, content);
        matched.key(&inputs, version, key)?;
        if let Some(derive) = &self.config.key {
            let derived = derive(self.parts).ok_or(KeyError::Missing)?;
            key.replace_base(derived.as_str());
            // The function does not see the content.
            if let Some(content) = content {
                key.push_content(content);
            }
        }
        let obey_directives = route.request_directives == table::RequestDirectives::Obey;
        Ok(CacheRequestRef {
            route: Some(route),
            user: user.map(Into::into),
            ..self.cache_request(user.is_some(), scope, obey_directives, key)
        })
    }

    /// Makes the cache request of a URL, and writes its key, with the content of a QUERY, to `key`.
    pub(super) fn by_url(
        self,
        content: Option<ContentHash>,
        key: &'p mut KeyBuf,
    ) -> CacheRequestRef<'p> {
        url_key(&self.inputs(self.host(), None, None), key);
        if let Some(content) = content {
            key.push_content(content);
        }
        let is_identified = self.user().is_some();
        self.cache_request(is_identified, SharingScope::Standard, true, key)
    }

    /// Makes the cache request whose key contains the content.
    ///
    /// # Errors
    ///
    /// As [`by_route`](Self::by_route).
    pub(super) fn by_content(
        self,
        content: &[u8],
        key: &'p mut KeyBuf,
    ) -> Result<CacheRequestRef<'p>, KeyError> {
        let content = ContentHash::of(&self.parts.method, &self.parts.headers, content);
        let plan = &self.snapshot.plan;
        let mut request = match plan.find_route(self.uri.path(), || self.host()) {
            Ok(matched) => self.by_route(&matched, Some(content), key)?,
            Err(_) => self.by_url(Some(content), key),
        };
        request.constraints.can_refresh = false;
        Ok(request)
    }

    /// Whether the request asks for a protocol that takes its connection over.
    #[inline]
    pub(super) fn is_upgrade(self) -> bool {
        self.fields.upgrade && upgrade::is_upgrade(self.parts.version, &self.parts.headers)
    }

    pub(super) fn plan(self) -> &'p Plan {
        &self.snapshot.plan
    }

    pub(super) fn target(self) -> Target<'a> {
        Target::new(self.uri, &self.parts.headers)
    }

    /// Whether the inner service might read another host from the request than the key contains.
    pub(super) fn has_ambiguous_host(self) -> bool {
        target::has_ambiguous_host(self.uri, &self.parts.headers)
    }

    /// `obey_directives`: whether the request's `Cache-Control` counts.
    #[inline]
    fn cache_request(
        self,
        is_identified: bool,
        scope: SharingScope,
        obey_directives: bool,
        key: &'p mut KeyBuf,
    ) -> CacheRequestRef<'p> {
        let directives = match self.fields.directives && obey_directives {
            true => RequestCacheControl::parse(&self.parts.headers),
            false => RequestCacheControl::default(),
        };
        let identity = &self.snapshot.plan.identity;
        let has_user = is_identified || identity.has_credential_in_query(self.uri.query());
        let constraints = RequestConstraints {
            form: ResponseForm {
                head: self.parts.method == Method::HEAD,
                conditional: self.fields.conditional,
                range: self.fields.range,
            },
            directives,
            credentials: self.fields.credentials(has_user),
            scope,
            can_refresh: true,
        };
        CacheRequestRef {
            key,
            route: None,
            user: None,
            constraints,
            unlisted_ttl: self.config.unlisted_ttl,
        }
    }

    fn user(self) -> Option<User<'a>> {
        self.config.engine().user(self.snapshot, self.parts)
    }

    #[inline]
    fn host(self) -> Option<&'a str> {
        target::authority(self.uri, &self.parts.headers)
    }

    #[inline]
    fn inputs<'i>(
        self,
        host: Option<&'i str>,
        user: Option<&'i str>,
        content: Option<ContentHash>,
    ) -> KeyInputs<'i>
    where
        'a: 'i,
    {
        KeyInputs {
            scheme: self.uri.scheme_str(),
            host,
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.parts.headers,
            user,
            body: content,
        }
    }
}

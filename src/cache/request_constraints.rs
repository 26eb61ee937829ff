//! The properties of a request, besides its key, that decide which stored responses may answer it,
//! and in which form.

use crate::semantics::{
    cache_control::RequestCacheControl,
    freshness::Lifetime,
    sharing::{self, Credentials},
    storage_policy::SharingScope,
};

/// The properties of a request, besides its key, that decide which stored responses may answer it,
/// and in which form.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestConstraints {
    pub(super) form: ResponseForm,
    pub(super) directives: RequestCacheControl,
    pub(super) credentials: Credentials,
    pub(super) scope: SharingScope,
    /// Whether the request can be repeated in the background: not with content in the key, which is kept
    /// only until the request is answered.
    pub(super) can_refresh: bool,
}

impl RequestConstraints {
    /// Whether a stored response of this lifetime may answer the request at all, fresh or
    /// validated (RFC 9111 section 3.5). `is_listed`: whether a route of the table matches it.
    #[inline]
    pub(super) fn permit(&self, is_listed: bool, lifetime: &Lifetime) -> bool {
        sharing::may_serve(self.credentials, self.scope, is_listed, lifetime)
    }
}

/// The form in which a request wants its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseForm {
    /// A HEAD request.
    pub(super) head: bool,
    /// It has `If-None-Match` or `If-Modified-Since`, so a 304 (Not Modified) may answer it.
    pub(super) conditional: bool,
    /// It has a `Range`, so a 206 (Partial Content) may answer it.
    pub(super) range: bool,
}

impl ResponseForm {
    pub(super) const WHOLE: Self = Self {
        head: false,
        conditional: false,
        range: false,
    };

    /// Whether the request asks for the whole response.
    pub(super) fn is_whole(self) -> bool {
        !self.head && self.is_unconditional()
    }

    /// Whether the request has neither a range nor a precondition that a cache evaluates.
    pub(super) fn is_unconditional(self) -> bool {
        !(self.conditional || self.range)
    }
}

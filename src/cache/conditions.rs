//! What of a request, besides its key, decides which responses answer it and in which form.

use http::{HeaderMap, header};

use crate::semantics::{
    cache_control::RequestCacheControl,
    freshness::Lifetime,
    policy::SharingScope,
    sharing::{self, Credentials},
};

/// What of a request decides whether a stored response answers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestConditions {
    pub(super) form: ResponseForm,
    pub(super) directives: RequestCacheControl,
    pub(super) credentials: Credentials,
    pub(super) scope: SharingScope,
}

impl RequestConditions {
    /// Whether a stored response of this lifetime may answer the request at all, fresh or
    /// validated (RFC 9111 section 3.5). `is_listed`: the table has a route for it.
    #[inline]
    pub(super) fn permit(&self, is_listed: bool, lifetime: &Lifetime) -> bool {
        sharing::may_serve(self.credentials, self.scope, is_listed, lifetime)
    }
}

/// The form in which a request wants its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseForm {
    /// Without content.
    pub(super) head: bool,
    /// Or a 304 (Not Modified).
    pub(super) conditional: bool,
    /// Or a 206 (Partial Content).
    pub(super) range: bool,
}

impl ResponseForm {
    pub(super) const WHOLE: Self = Self {
        head: false,
        conditional: false,
        range: false,
    };

    /// Whether only the whole response will do.
    pub(super) fn is_whole(self) -> bool {
        !self.head && self.is_unconditional()
    }

    /// Whether the request has neither a range nor a precondition.
    pub(super) fn is_unconditional(self) -> bool {
        !(self.conditional || self.range)
    }
}

/// Which fields that concern a cache a request has.
///
/// Found in one pass over the field names: most requests have few fields, and none of these.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldPresence {
    pub(super) conditional: bool,
    pub(super) range: bool,
    pub(super) upgrade: bool,
    /// `Cache-Control` or `Pragma`.
    pub(super) directives: bool,
    authorization: bool,
    cookie: bool,
}

impl FieldPresence {
    #[inline]
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.is_empty() {
            Self::default()
        } else {
            Self::scan(headers)
        }
    }

    fn scan(headers: &HeaderMap) -> Self {
        let mut has = Self::default();
        for name in headers.keys() {
            has.conditional |= name == header::IF_NONE_MATCH || name == header::IF_MODIFIED_SINCE;
            has.range |= name == header::RANGE;
            has.upgrade |= name == header::UPGRADE;
            has.directives |= name == header::CACHE_CONTROL || name == header::PRAGMA;
            has.authorization |= name == header::AUTHORIZATION;
            has.cookie |= name == header::COOKIE;
        }
        has
    }

    #[inline]
    pub(super) fn credentials(self, is_identified: bool) -> Credentials {
        Credentials::carried(is_identified || self.authorization, self.cookie)
    }
}

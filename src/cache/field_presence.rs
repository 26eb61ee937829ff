//! The cache-related fields that a request has.

use http::{HeaderMap, header};

use crate::{identity::IdentityPlan, semantics::sharing::Credentials};

/// Which cache-related fields a request has.
///
/// Found in one pass over the field names: most requests have few fields, and none of these.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldPresence {
    /// `If-None-Match` or `If-Modified-Since`.
    pub(super) conditional: bool,
    pub(super) range: bool,
    pub(super) upgrade: bool,
    /// `Cache-Control` or `Pragma`.
    pub(super) directives: bool,
    /// A credential other than `Cookie`.
    credential: bool,
    cookie: bool,
}

impl FieldPresence {
    #[inline]
    pub(super) fn of(headers: &HeaderMap, identity: &IdentityPlan) -> Self {
        if headers.is_empty() {
            Self::default()
        } else {
            Self::scan(headers, identity)
        }
    }

    fn scan(headers: &HeaderMap, identity: &IdentityPlan) -> Self {
        let mut has = Self::default();
        for name in headers.keys() {
            has.conditional |= name == header::IF_NONE_MATCH || name == header::IF_MODIFIED_SINCE;
            has.range |= name == header::RANGE;
            has.upgrade |= name == header::UPGRADE;
            has.directives |= name == header::CACHE_CONTROL || name == header::PRAGMA;
            has.credential |= identity.is_credential(name);
            has.cookie |= name == header::COOKIE;
        }
        has
    }

    /// The credentials of a request. `has_user`: whether its user is known, or its query contains a
    /// credential.
    #[inline]
    pub(super) fn credentials(self, has_user: bool) -> Credentials {
        Credentials::from_presence(has_user || self.credential, self.cookie)
    }
}

//! The cache-related fields that a request has.

use http::{HeaderMap, header};

use crate::semantics::sharing::Credentials;

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
        Credentials::from_presence(is_identified || self.authorization, self.cookie)
    }
}

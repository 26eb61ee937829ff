//! Which of the fields that concern a cache a request has.

use http::{HeaderMap, header};

use crate::semantics::sharing::Credentials;

/// Found by one look at every name: most requests have few fields, and none of these.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present {
    pub(super) conditional: bool,
    pub(super) range: bool,
    pub(super) upgrade: bool,
    /// `Cache-Control` or `Pragma`.
    pub(super) directives: bool,
    authorization: bool,
    cookie: bool,
}

impl Present {
    #[inline]
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.is_empty() {
            Self::default()
        } else {
            Self::among(headers)
        }
    }

    fn among(headers: &HeaderMap) -> Self {
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
    pub(super) fn credentials(self, identified: bool) -> Credentials {
        Credentials::carried(identified || self.authorization, self.cookie)
    }
}

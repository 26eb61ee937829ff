//! Decides which clients may share a response (RFC 9111 section 3.5).

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
};

use super::{cache_control::ResponseDirectives, freshness::Lifetime, storage_policy::SharingScope};

/// The request fields that contain credentials.
pub(crate) static CREDENTIAL_FIELDS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// The strongest credentials that a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Credentials {
    #[default]
    None,
    /// `Cookie`, which may identify a user or contain a preference.
    Cookie,
    /// `Authorization`, or an identity established by the application.
    User,
}

impl Credentials {
    pub(crate) fn of(headers: &HeaderMap, identified: bool) -> Self {
        let user = identified || headers.contains_key(AUTHORIZATION);
        Self::from_presence(user, headers.contains_key(COOKIE))
    }

    pub(crate) fn from_presence(user: bool, cookie: bool) -> Self {
        if user {
            Self::User
        } else if cookie {
            Self::Cookie
        } else {
            Self::None
        }
    }

    pub(crate) fn any(self) -> bool {
        self != Self::None
    }
}

/// Whether a response to a request with these credentials may be stored for others.
pub(crate) fn may_store(
    credentials: Credentials,
    scope: SharingScope,
    directives: &ResponseDirectives,
) -> bool {
    scope != SharingScope::Standard || !credentials.any() || directives.shares()
}

/// Whether a stored response may answer a request with these credentials.
///
/// The response does not depend on credentials, or [`may_store`] would have refused it. On a path
/// that no route names (`listed` is false) HTTP alone decides, and to HTTP a cookie is a field like
/// any other: a response that states its freshness may answer any request, because `Vary` would
/// name `Cookie` if the response depended on it. On a listed route, cookies are credentials.
#[inline]
pub(crate) fn may_serve(
    credentials: Credentials,
    scope: SharingScope,
    listed: bool,
    lifetime: &Lifetime,
) -> bool {
    scope != SharingScope::Standard
        || match credentials {
            Credentials::None => true,
            Credentials::Cookie => lifetime.shared || (lifetime.explicit && !listed),
            Credentials::User => lifetime.shared,
        }
}

/// Whether a request may wait for the response to another: only if it may use any such response.
pub(crate) fn may_collapse(credentials: Credentials, scope: SharingScope) -> bool {
    scope != SharingScope::Standard || !credentials.any()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_response_to_credentials_is_shared_only_if_permitted() {
        // RFC 9111 section 3.5
        let silent = ResponseDirectives::default();
        let public = ResponseDirectives {
            public: true,
            ..ResponseDirectives::default()
        };
        for credentials in [Credentials::Cookie, Credentials::User] {
            assert!(!may_store(credentials, SharingScope::Standard, &silent));
            assert!(may_store(credentials, SharingScope::Standard, &public));
            assert!(may_store(credentials, SharingScope::User, &silent));
            assert!(!may_collapse(credentials, SharingScope::Standard));
        }
        assert!(may_store(
            Credentials::None,
            SharingScope::Standard,
            &silent
        ));
    }

    #[test]
    fn credentials_need_explicit_freshness() {
        let guessed = Lifetime::default();
        let explicit = Lifetime {
            explicit: true,
            ..guessed
        };
        assert!(!may_serve(
            Credentials::Cookie,
            SharingScope::Standard,
            false,
            &guessed
        ));
        assert!(may_serve(
            Credentials::Cookie,
            SharingScope::Standard,
            false,
            &explicit
        ));
        assert!(!may_serve(
            Credentials::Cookie,
            SharingScope::Standard,
            true,
            &explicit
        ));
        assert!(!may_serve(
            Credentials::User,
            SharingScope::Standard,
            false,
            &explicit
        ));
        assert!(may_serve(
            Credentials::User,
            SharingScope::Public,
            true,
            &guessed
        ));
    }

    #[test]
    fn the_strongest_credentials_count() {
        let mut headers = HeaderMap::new();
        assert_eq!(Credentials::of(&headers, false), Credentials::None);
        assert_eq!(Credentials::of(&headers, true), Credentials::User);
        headers.insert(COOKIE, HeaderValue::from_static("a=b"));
        assert_eq!(Credentials::of(&headers, false), Credentials::Cookie);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic Zm9v"));
        assert_eq!(Credentials::of(&headers, false), Credentials::User);
    }
}

//! Whose responses may answer whom (RFC 9111 section 3.5).

use http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE},
};

use super::{cache_control::ResponseDirectives, freshness::Lifetime, policy::Scope};

/// The strongest credentials that a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Credentials {
    #[default]
    None,
    /// `Cookie`: perhaps a user's, perhaps a preference.
    Cookie,
    /// `Authorization`, or an identity established by the application.
    User,
}

impl Credentials {
    pub(crate) fn of(headers: &HeaderMap, identified: bool) -> Self {
        let user = identified || headers.contains_key(AUTHORIZATION);
        Self::carried(user, headers.contains_key(COOKIE))
    }

    pub(crate) fn carried(user: bool, cookie: bool) -> Self {
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
    scope: Scope,
    directives: &ResponseDirectives,
) -> bool {
    scope != Scope::Standard || !credentials.any() || directives.shares()
}

/// Whether a request with these credentials may be answered with what is stored.
///
/// What is stored was made for nobody in particular, else [`may_store`] would have refused it. On a
/// path that no route names (`listed` is false) HTTP alone decides, and it knows cookies as a field
/// like any other: what the response itself says to be fresh serves whoever asks, for had it
/// depended on the cookie, `Vary` would say so. A listed route counts cookies as credentials.
#[inline]
pub(crate) fn may_serve(
    credentials: Credentials,
    scope: Scope,
    listed: bool,
    lifetime: &Lifetime,
) -> bool {
    scope != Scope::Standard
        || match credentials {
            Credentials::None => true,
            Credentials::Cookie => lifetime.shared || (lifetime.explicit && !listed),
            Credentials::User => lifetime.shared,
        }
}

/// Whether requests may wait for one answer: only those that any answer to the others would suit.
pub(crate) fn may_collapse(credentials: Credentials, scope: Scope) -> bool {
    scope != Scope::Standard || !credentials.any()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn credentials_need_leave_to_be_shared() {
        // RFC 9111 section 3.5
        let silent = ResponseDirectives::default();
        let public = ResponseDirectives {
            public: true,
            ..ResponseDirectives::default()
        };
        for credentials in [Credentials::Cookie, Credentials::User] {
            assert!(!may_store(credentials, Scope::Standard, &silent));
            assert!(may_store(credentials, Scope::Standard, &public));
            assert!(may_store(credentials, Scope::User, &silent));
            assert!(!may_collapse(credentials, Scope::Standard));
        }
        assert!(may_store(Credentials::None, Scope::Standard, &silent));
    }

    #[test]
    fn guesses_and_table_ttls_are_not_for_credentials() {
        let guessed = Lifetime::default();
        let explicit = Lifetime {
            explicit: true,
            ..guessed
        };
        assert!(!may_serve(
            Credentials::Cookie,
            Scope::Standard,
            false,
            &guessed
        ));
        assert!(may_serve(
            Credentials::Cookie,
            Scope::Standard,
            false,
            &explicit
        ));
        assert!(!may_serve(
            Credentials::Cookie,
            Scope::Standard,
            true,
            &explicit
        ));
        assert!(!may_serve(
            Credentials::User,
            Scope::Standard,
            false,
            &explicit
        ));
        assert!(may_serve(Credentials::User, Scope::Public, true, &guessed));
    }

    #[test]
    fn the_strongest_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(Credentials::of(&headers, false), Credentials::None);
        assert_eq!(Credentials::of(&headers, true), Credentials::User);
        headers.insert(COOKIE, HeaderValue::from_static("a=b"));
        assert_eq!(Credentials::of(&headers, false), Credentials::Cookie);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic Zm9v"));
        assert_eq!(Credentials::of(&headers, false), Credentials::User);
    }
}

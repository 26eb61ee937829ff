//! The names of request fields and query parameters that are credentials.

use http::HeaderName;
use smallvec::SmallVec;

use crate::key::encode::form_bytes;

/// The names of request fields and query parameters that are credentials: those of
/// [`Identity::credentials`](crate::table::Identity::credentials), and those that the table adds.
///
/// Servers and frameworks read `X-Api-Key`, `x_api_key` and `apiKey[]` as one name, so names are
/// compared by their letters and digits, without regard to case.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialNames {
    /// In reduced form.
    added: Box<[ReducedName]>,
}

/// The letters and digits of a name, in lower case.
type ReducedName = SmallVec<[u8; 48]>;

impl CredentialNames {
    /// Adds names to the built-in ones.
    ///
    /// # Errors
    ///
    /// If a name has no letter or digit, or a character that no name contains.
    pub(crate) fn with(names: &[String]) -> Result<Self, String> {
        let added = names.iter().map(|name| {
            let reduced = reduce(name.bytes());
            if reduced.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "{name:?} is not the name of a field or a query parameter; write one, for example \"x-session\""
                ));
            }
            Ok(reduced)
        });
        let added = added.collect::<Result<_, _>>()?;
        Ok(Self { added })
    }

    /// Whether a request field of this name is a credential. `Cookie` is not among them.
    #[inline]
    pub(crate) fn has_field(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        if !may_be_built_in(name) && self.added.is_empty() {
            return false;
        }
        self.contains(name.iter().copied())
    }

    /// The parameters of a query, with their values, that are credentials.
    ///
    /// Some servers also split at semicolons, and read `token[a]` and `token.a` as members of `token`.
    pub(crate) fn parameters<'a>(&'a self, query: &'a str) -> impl Iterator<Item = &'a str> {
        query.split(['&', ';']).filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            let separates = |byte: &u8| matches!(byte, b'[' | b'.');
            let object = form_bytes(name).skip_while(separates);
            let object = object.take_while(|byte| !separates(byte));
            self.contains(form_bytes(name)) || self.contains(object)
        })
    }

    /// Whether a decoded name is a credential.
    fn contains(&self, name: impl Iterator<Item = u8>) -> bool {
        let reduced = reduce(name);
        is_built_in(&reduced) || self.added.contains(&reduced)
    }

    pub(crate) fn has_parameter_in(&self, query: &str) -> bool {
        self.parameters(query).next().is_some()
    }
}

fn reduce(name: impl Iterator<Item = u8>) -> ReducedName {
    let kept = name.filter(u8::is_ascii_alphanumeric);
    kept.map(|byte| byte.to_ascii_lowercase()).collect()
}

/// Whether a reduced name is a credential without the table saying so. Digits at its end do not
/// count: frameworks read `token[0]` as an element of `token`.
fn is_built_in(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit());
    let name = &name[..name.len() - digits.count()];
    let ends_in = |endings: &[&str]| endings.iter().any(|end| name.ends_with(end.as_bytes()));
    let is_name = || {
        let compared = |known: &&str| known.as_bytes().cmp(name);
        NAMES.binary_search_by(compared).is_ok()
    };
    let is_exception = || {
        let is = |name: &[u8]| EXCEPTIONS.iter().any(|known| known.as_bytes() == name);
        is(name) || name.strip_prefix(b"x").is_some_and(is)
    };
    may_be_built_in(name) && (ends_in(ENDINGS) && !is_exception() || is_name())
}

/// Whether a name, reduced or the name of a field, may be a built-in credential, by its last bytes. Rules
/// out nearly all others without a copy and a search.
#[inline]
fn may_be_built_in(name: &[u8]) -> bool {
    matches!(
        name,
        [.., b'a', b'r', b'e', b'r']
            | [.., b'a', b'i', b'l']
            | [.., b'a', b's', b'e']
            | [.., b'a' | b'r', b't', b'i', b'o', b'n']
            | [.., b'a', b't', b'a']
            | [.., b'c', b'a', b't', b'e']
            | [.., b'c', b'o', b'd', b'e']
            | [.., b'e', b'r', b't']
            | [.., b'i', b'a', b'l']
            | [.., b'a', b'l', b's']
            | [.., b'i', b'd']
            | [.., b'j', b'w', b't']
            | [.., b'k', b'e', b'n' | b'y']
            | [.., b'm', b'a', b'c']
            | [.., b'n', b'a', b'm', b'e']
            | [.., b'o', b'g', b'i', b'n']
            | [.., b'o', b'r', b'd']
            | [.., b'o', b't', b'p']
            | [.., b'p', b'a', b'l']
            | [.., b'r', b'e', b't']
            | [.., b's', b'e', b'r']
            | [.., b's', b'i', b'g']
            | [.., b's', b'i', b'o', b'n']
            | [.., b't', b'i', b't', b'y']
            | [.., b'u', b'p', b's']
            | [.., b'u', b'r', b'e']
            | [.., b'u', b't', b'h']
            | [.., b'w', b'd']
            | [.., b'd', b'n']
            | [.., b'a', b'i', b'n']
            | [.., b'e', b'a', b'f']
            | [.., b'j', b'e', b'c', b't']
            | [.., b'i', b'e', b'r']
            | [.., b'n', b'f', b'o']
            | [.., b'o', b'a', b'd']
            | [.., b'p', b'o', b'p']
    )
}

/// The reduced names, sorted, that are credentials: sessions and signatures, and the fields in which
/// authenticating proxies name the user.
const NAMES: &[&str] = &[
    "cfaccessauthenticateduseremail",
    "clientcertchain",
    "dpop",
    "impersonateuser",
    "otp",
    "pwd",
    "remoteemail",
    "remotegroups",
    "remotename",
    "remoteuser",
    "sid",
    "sig",
    "sslclientsubjectdn",
    "tailscaleuserlogin",
    "tailscaleusername",
    "xamznmtlsclientcertleaf",
    "xamznmtlsclientcertsubject",
    "xamznoidcdata",
    "xamznoidcidentity",
    "xapigatewayapiuserinfo",
    "xauthemail",
    "xauthenticateduser",
    "xauthenticateduserid",
    "xauthentikemail",
    "xauthentikgroups",
    "xauthentikname",
    "xauthentikuid",
    "xauthentikusername",
    "xauthrequestemail",
    "xauthrequestgroups",
    "xauthrequestpreferredusername",
    "xauthrequestuser",
    "xauthuser",
    "xauthuserid",
    "xconsumercustomid",
    "xconsumerid",
    "xconsumerusername",
    "xcredentialidentifier",
    "xcredentialusername",
    "xendpointapiuserinfo",
    "xforwardedemail",
    "xforwardedgroups",
    "xforwardedpreferredusername",
    "xforwardeduser",
    "xgoogauthenticateduseremail",
    "xgoogauthenticateduserid",
    "xhasurauserid",
    "xjwtpayload",
    "xmsclientprincipal",
    "xmsclientprincipalid",
    "xmsclientprincipalname",
    "xpomeriumclaimemail",
    "xpomeriumclaimgroups",
    "xpomeriumclaimuser",
    "xremoteuser",
    "xremoteuseremail",
    "xsslclientsdn",
    "xuser",
    "xuseremail",
    "xuserid",
    "xuserinfo",
    "xusername",
    "xvouchuser",
    "xwebauthuser",
];

/// A reduced name that ends in one of these is a credential, as `X-Vault-Token` and `access_token`
/// are. `key` alone and `code` are not: most parameters of these names are no secrets.
const ENDINGS: &[&str] = &[
    "accesskey",
    "adminkey",
    "apikey",
    "appkey",
    "applicationkey",
    "assertion",
    "auth",
    "authkey",
    "authorization",
    "bearer",
    "clientcert",
    "clientcertificate",
    "clientkey",
    "credential",
    "credentials",
    "functionskey",
    "hmac",
    "jwt",
    "licensekey",
    "masterkey",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "sessid",
    "session",
    "sessionid",
    "sessionkey",
    "sharedkey",
    "signature",
    "subscriptionkey",
    "token",
    "userkey",
];

/// Tokens that are not credentials: those of pagination, and those against cross-site request
/// forgery, which accompany a session's cookie.
const EXCEPTIONS: &[&str] = &[
    "authenticitytoken",
    "continuationtoken",
    "csrfmiddlewaretoken",
    "csrftoken",
    "cursortoken",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "previoustoken",
    "prevtoken",
    "requestverificationtoken",
    "resumetoken",
    "synctoken",
    "xsrftoken",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_ends_like_an_exception_is_a_credential() {
        let names = CredentialNames::default();
        for query in [
            "async_token=a",
            "resync-token=a",
            "homepage_token=a",
            "token[a]=a",
            "token.value=a",
            "[token]=a",
        ] {
            assert!(names.has_parameter_in(query), "{query}");
        }
        for query in [
            "sync_token=a",
            "page_token=a",
            "x-csrf-token=a",
            "a.b=c",
            "a[b]=c",
        ] {
            assert!(!names.has_parameter_in(query), "{query}");
        }
    }

    #[test]
    fn every_built_in_name_can_be_the_name_of_a_field() {
        assert!(NAMES.is_sorted());
        for name in NAMES.iter().chain(ENDINGS) {
            let field = name.parse().expect("a field name");
            assert!(CredentialNames::default().has_field(&field), "{name}");
            let prefixed = format!("x-{name}");
            assert!(may_be_built_in(prefixed.as_bytes()), "{name}");
        }
        for name in EXCEPTIONS {
            let field = name.parse().expect("a field name");
            assert!(!CredentialNames::default().has_field(&field), "{name}");
        }
    }

    /// Fields whose names end like those of credentials. Few requests have them.
    const SEARCHED: [&str; 4] = [
        "sec-fetch-user",
        "sec-websocket-key",
        "x-correlation-id",
        "x-request-id",
    ];

    #[test]
    fn fields_of_browsers_and_proxies_are_not_credentials() {
        for name in [
            "accept",
            "accept-encoding",
            "accept-language",
            "cache-control",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "dnt",
            "expect",
            "forwarded",
            "host",
            "if-modified-since",
            "if-none-match",
            "origin",
            "pragma",
            "priority",
            "range",
            "referer",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "sec-fetch-dest",
            "sec-fetch-mode",
            "sec-fetch-site",
            "sec-fetch-user",
            "sec-websocket-key",
            "te",
            "traceparent",
            "upgrade-insecure-requests",
            "user-agent",
            "via",
            "x-correlation-id",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request-id",
            "x-requested-with",
        ] {
            let field = HeaderName::from_static(name);
            assert!(!CredentialNames::default().has_field(&field), "{name}");
            let is_searched = SEARCHED.contains(&name);
            assert_eq!(may_be_built_in(name.as_bytes()), is_searched, "{name}");
        }
    }

    #[test]
    fn added_names_are_compared_whole() {
        let names = CredentialNames::with(&["X-Shop-1".to_owned()]).expect("a name");
        for (name, is) in [
            ("x-shop-1", true),
            ("x_shop1", true),
            ("x-shop-2", false),
            ("x-shop", false),
            ("my-x-shop-1", false),
            ("authorization", true),
        ] {
            assert_eq!(
                names.has_field(&HeaderName::from_static(name)),
                is,
                "{name}"
            );
            assert_eq!(
                names.has_parameter_in(&format!("a=b&{name}=c")),
                is,
                "{name}"
            );
        }
    }

    #[test]
    fn a_name_without_letters_or_with_blanks_is_refused() {
        for name in ["", "*", "-_-", "x session", "x\u{e9}"] {
            let error = CredentialNames::with(&[name.to_owned()]).expect_err("no name");
            assert!(error.contains("write one"), "{error}");
        }
    }
}

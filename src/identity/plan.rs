use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::credentials::CredentialNames;

/// The table's `[identity]`, compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityPlan {
    /// The header that names the user; trustworthy only behind a gateway that sets it.
    pub(crate) header: Option<HeaderName>,
    /// The fields and query parameters that are credentials, besides `header`.
    pub(crate) credentials: CredentialNames,
    /// Whether a hash of the request's credentials names the user if there is no verified name.
    pub(crate) unverified: bool,
    pub(crate) trusted_proxies: Box<[IpNet]>,
    /// The header in which trusted proxies report the address that connected to them.
    pub(crate) ip_header: Option<HeaderName>,
    /// The number of leading bits of an IPv6 address that identify a client.
    pub(crate) ipv6_prefix: u8,
}

impl IdentityPlan {
    /// Whether a request field of this name is a credential, other than `Cookie`. `header` is one
    /// even if no verified user results (for example from two lines, one forged): the response may
    /// still be meant for one user.
    #[inline]
    pub(crate) fn is_credential(&self, name: &HeaderName) -> bool {
        self.credentials.has_field(name) || self.header.as_ref() == Some(name)
    }

    /// Whether a request with these fields and this query carries credentials other than `Cookie`.
    pub(crate) fn has_credentials(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        headers.keys().any(|name| self.is_credential(name)) || self.has_credential_in_query(query)
    }

    #[inline]
    pub(crate) fn has_credential_in_query(&self, query: Option<&str>) -> bool {
        query.is_some_and(|query| self.credentials.has_parameter_in(query))
    }
}

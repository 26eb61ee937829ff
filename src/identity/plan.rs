use http::HeaderName;
use ipnet::IpNet;

/// The table's `[identity]`, compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityPlan {
    /// The header that names the user; trustworthy only behind a gateway that sets it.
    pub(crate) header: Option<HeaderName>,
    /// Whether a hash of `Authorization` names the user if there is no verified name.
    pub(crate) unverified: bool,
    pub(crate) trusted_proxies: Box<[IpNet]>,
    /// The header in which trusted proxies report the address that connected to them.
    pub(crate) ip_header: Option<HeaderName>,
    /// The number of leading bits of an IPv6 address that identify a client.
    pub(crate) ipv6_prefix: u8,
}

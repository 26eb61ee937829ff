//! Who makes a request: the user, and the address it comes from.

mod address;
mod user;

pub use user::UserId;

#[allow(unused_imports)]
pub(crate) use address::{client_ip, truncate};
#[allow(unused_imports)]
pub(crate) use user::{User, user};

use http::HeaderName;
use ipnet::IpNet;

/// The table's `[identity]`, compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityPlan {
    /// Names the user; only behind a gateway that sets it.
    pub(crate) header: Option<HeaderName>,
    /// A hash of `Authorization` serves where nothing verified does.
    pub(crate) unverified: bool,
    pub(crate) trusted_proxies: Box<[IpNet]>,
    /// Where trusted proxies write the address they were asked from.
    pub(crate) ip_header: Option<HeaderName>,
    /// How many bits of an IPv6 address name one client.
    pub(crate) ipv6_prefix: u8,
}

#[cfg(test)]
mod tests;

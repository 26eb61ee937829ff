use std::time::Duration;

use serde::Deserialize;

use super::unit;

/// `[local]`: the tier in each process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    #[serde(deserialize_with = "unit::size")]
    pub(crate) size: u64,
}

impl Local {
    /// 64 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self { size: 64 << 20 }
    }

    /// How much memory stored responses may hold, in bytes; 0 turns it off.
    ///
    /// Beside key, body and tags a stored response counts with all that it ever holds: at most
    /// 2 KiB, and for each header field 432 bytes and three times its text, as it is stored and as
    /// two groups of threads have it ready for their hits.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

/// `[store]`: how long the shared store may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    #[serde(deserialize_with = "unit::duration")]
    pub(crate) deadline: Duration,
    #[serde(deserialize_with = "unit::duration")]
    pub(crate) max_lag: Duration,
}

impl Store {
    /// 50 ms for an answer, 2 s of lag.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deadline: Duration::from_millis(50),
            max_lag: Duration::from_secs(2),
        }
    }

    /// How long a request waits for the store before it does without.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long after the last proof that no invalidation was missed stored responses are used.
    /// Beyond it only what this process itself fetched less than `max_lag` ago is.
    #[must_use]
    pub fn max_lag(mut self, lag: Duration) -> Self {
        self.max_lag = lag;
        self
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

/// `[identity]`: how users and addresses are known.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    pub(crate) header: Option<String>,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) unverified: bool,
    pub(crate) ip_header: Option<String>,
    pub(crate) ipv6_prefix: u8,
}

impl Identity {
    /// No header, no trusted proxies, only verified users, IPv6 addresses by `/64`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            header: None,
            trusted_proxies: Vec::new(),
            unverified: false,
            ip_header: None,
            ipv6_prefix: 64,
        }
    }

    /// The field that names the user. Only behind a gateway that sets or removes it.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// Whose forwarding fields count: addresses or CIDR blocks.
    #[must_use]
    pub fn trusted_proxies<S: Into<String>>(mut self, nets: impl IntoIterator<Item = S>) -> Self {
        self.trusted_proxies = nets.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a hash of `Authorization` serves as the user where nothing verified does.
    #[must_use]
    pub fn unverified(mut self, yes: bool) -> Self {
        self.unverified = yes;
        self
    }

    /// The field in which the trusted proxies write the address they were asked from; if none is
    /// named, `X-Forwarded-For`, else `Forwarded` (RFC 7239). Name it when the proxies write only
    /// one of them and let the other pass.
    #[must_use]
    pub fn ip_header(mut self, name: impl Into<String>) -> Self {
        self.ip_header = Some(name.into());
        self
    }

    /// How many bits of an IPv6 address name one client: 64 by default.
    #[must_use]
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_prefix = bits;
        self
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

/// `[values]`: application values.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Values {
    /// Entities whose values are bare JSON, which other programs read.
    pub(crate) plain: Vec<String>,
}

use std::time::Duration;

use serde::Deserialize;

use super::{one_or_many::OneOrMany, unit};

/// `[local]`: the in-memory tier of each process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    #[serde(deserialize_with = "unit::size")]
    pub(crate) size: u64,
    #[serde(deserialize_with = "unit::size")]
    pub(crate) fill_buffer: u64,
}

impl Local {
    /// 64 MiB for stored responses, and 64 MiB for bodies that are being read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            size: 64 << 20,
            fill_buffer: 64 << 20,
        }
    }

    /// The memory that stored responses may use, in bytes; 0 turns the tier off.
    ///
    /// A stored response takes the size of its key, body and tags, and at most 2 KiB of overhead.
    /// Each header field takes 432 bytes and three times its text: once as stored, twice in the
    /// response heads that are prepared for hits.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// The memory that bodies may use while they are read, over all requests, in bytes: those of
    /// responses that are being stored, until their clients have taken them, and those of requests
    /// whose content is part of the key. The first 16 KiB of each body do not count.
    ///
    /// Beyond it, responses are passed on as fast as their clients take them, and are not stored
    /// (`Cache-Status: …; detail=busy`); requests whose content is part of the key are refused with
    /// 503. It should be several times as large as the largest [`max_body`](crate::Route::max_body):
    /// a longer response is never stored.
    #[must_use]
    pub fn fill_buffer(mut self, bytes: u64) -> Self {
        self.fill_buffer = bytes;
        self
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

/// `[store]`: the time limits of the shared store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    #[serde(deserialize_with = "unit::duration")]
    pub(crate) deadline: Duration,
    #[serde(deserialize_with = "unit::duration")]
    pub(crate) max_lag: Duration,
}

impl Store {
    /// A deadline of 50 ms, and a maximum lag of 2 s.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deadline: Duration::from_millis(50),
            max_lag: Duration::from_secs(2),
        }
    }

    /// How long a request waits for the store before it continues without it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long stored responses are used after the process last confirmed that it has seen every
    /// invalidation. After that, it uses only responses that it fetched itself less than `max_lag`
    /// ago.
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

/// `[identity]`: how users and client addresses are identified.
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
    /// No header and no trusted proxies; only verified users; IPv6 addresses are cut to `/64`.
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

    /// The request field that names the user. Set it only behind a gateway that sets or removes the
    /// field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// The proxies whose forwarding fields are trusted: addresses or CIDR blocks.
    #[must_use]
    pub fn trusted_proxies<Shape: ?Sized>(mut self, nets: impl OneOrMany<String, Shape>) -> Self {
        self.trusted_proxies = nets.into_vec();
        self
    }

    /// Whether a hash of `Authorization` identifies the user if there is no verified user.
    #[must_use]
    pub fn unverified(mut self, yes: bool) -> Self {
        self.unverified = yes;
        self
    }

    /// The field in which the trusted proxies write the client's address; by default
    /// `X-Forwarded-For`, or else `Forwarded` (RFC 7239). Set it if the proxies write only one of
    /// them and forward the other as received.
    #[must_use]
    pub fn ip_header(mut self, name: impl Into<String>) -> Self {
        self.ip_header = Some(name.into());
        self
    }

    /// The number of bits of an IPv6 address that identify a client; 64 by default.
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

/// `[values]`: how application values are stored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ValueSettings {
    /// Entities whose values are stored as bare JSON, which other programs can read.
    pub(crate) plain: Vec<String>,
}

use std::time::Duration;

use serde::Deserialize;

use super::{one_or_many::OneOrMany, quantities};

/// `[local]`: the in-memory tier of each process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    #[serde(deserialize_with = "quantities::size")]
    pub(crate) size: u64,
    #[serde(deserialize_with = "quantities::size")]
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

/// `[store]`: the limits of the shared store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) deadline: Duration,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) max_lag: Duration,
    #[serde(deserialize_with = "quantities::size")]
    pub(crate) journal_size: u64,
}

impl Store {
    /// A deadline of 50 ms, a maximum lag of 2 s, and a journal of 16 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deadline: Duration::from_millis(50),
            max_lag: Duration::from_secs(2),
            journal_size: 16 << 20,
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

    /// The memory that the journal of invalidations may take, in bytes: in Redis, and again in each
    /// process. If more is written, the oldest invalidations are dropped, and what was stored before
    /// them becomes unusable.
    ///
    /// An invalidated key, prefix, pattern, tag or user takes its name, at most 128 bytes of it, and
    /// about 160 bytes in Redis until what was stored before has expired
    /// ([`Table::max_ttl`](crate::Table::max_ttl)). All paths that no route names take less than 1 MiB
    /// together.
    #[must_use]
    pub fn journal_size(mut self, bytes: u64) -> Self {
        self.journal_size = bytes;
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
    pub(crate) credentials: Vec<String>,
}

impl Identity {
    /// No header and no trusted proxies; only verified users; IPv6 addresses are cut to `/64`; only
    /// the built-in names are credentials.
    #[must_use]
    pub fn new() -> Self {
        Self {
            header: None,
            trusted_proxies: Vec::new(),
            unverified: false,
            ip_header: None,
            ipv6_prefix: 64,
            credentials: Vec::new(),
        }
    }

    /// The request field that names the user. Set it only behind a gateway that sets or removes the
    /// field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// The proxies whose [`ip_header`](Self::ip_header) is trusted: addresses or CIDR blocks.
    #[must_use]
    pub fn trusted_proxies<Shape: ?Sized>(mut self, nets: impl OneOrMany<String, Shape>) -> Self {
        self.trusted_proxies = nets.into_vec();
        self
    }

    /// Whether a hash of the request's credentials identifies the user if there is no verified user. A
    /// request whose only credential is `Cookie` has no user.
    #[must_use]
    pub fn unverified(mut self, yes: bool) -> Self {
        self.unverified = yes;
        self
    }

    /// The field in which the trusted proxies write the client's address; required with
    /// [`trusted_proxies`](Self::trusted_proxies). No other field is read: a proxy forwards the others
    /// as the client sent them.
    ///
    /// `Forwarded` (RFC 7239) and fields whose name ends in `Forwarded-For` are lists, read from the
    /// right up to the first address that is not a trusted proxy's. Any other field, as `X-Real-IP` or
    /// `CF-Connecting-IP`, contains one address; if it is repeated or contains something else, the
    /// client's address is that of the proxy.
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

    /// Request fields and query parameters that are credentials, besides the built-in ones.
    ///
    /// Requests with credentials share stored responses with others only where the response itself or
    /// the route's [`Scope`](crate::Scope) allows it. Names are compared by their letters and digits,
    /// without regard to case: `x-api-key`, `X_Api_Key` and `xApiKey[]` are one name. Built in are:
    ///
    /// - names that end in `token`, except tokens of pagination (as `page_token`, `next-token`) and
    ///   against cross-site request forgery (as `X-Csrf-Token`);
    /// - names that end in `api-key`, `access-key`, `admin-key`, `app-key`, `application-key`,
    ///   `auth-key`, `client-key`, `functions-key`, `license-key`, `master-key`, `private-key`,
    ///   `secret-key`, `session-key`, `shared-key`, `subscription-key` or `user-key`;
    /// - names that end in `auth`, `authorization`, `assertion`, `bearer`, `client-cert`,
    ///   `client-certificate`, `credential`, `credentials`, `hmac`, `jwt`, `passcode`, `passphrase`,
    ///   `passwd`, `password`, `secret`, `session`, `session-id`, `sessid` or `signature`;
    /// - `otp`, `pwd`, `sid` and `sig`;
    /// - the fields in which authenticating proxies name the user: `Remote-User`, `X-Remote-User`,
    ///   `X-WebAuth-User`, `X-User`, `X-User-Id`, `X-User-Name`, `X-User-Email`, `X-Forwarded-User`,
    ///   `X-Forwarded-Email`, `X-Forwarded-Groups`, `X-Forwarded-Preferred-Username`, and those of
    ///   oauth2-proxy, authentik, Authelia, Kong, Tailscale, Cloudflare Access, Google IAP, AWS load
    ///   balancers and Azure App Service.
    ///
    /// `key` and `code` alone are not built in, because most parameters of these names are not
    /// secrets. `Cookie` and the user's [`header`](Self::header) are credentials in any case.
    #[must_use]
    pub fn credentials<Shape: ?Sized>(mut self, names: impl OneOrMany<String, Shape>) -> Self {
        self.credentials = names.into_vec();
        self
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    behind::Behind,
    limit::{Limit, RateLimiting},
    route::Route,
    section::{Identity, Local, Store},
    ttl::Ttl,
    value_settings::ValueSettings,
};

/// The content of a table, under the names that TOML and serde use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) host: Vec<String>,
    pub(crate) unlisted: Unlisted,
    pub(crate) rate_limit: RateLimiting,
    pub(crate) ttl: Ttl,
    pub(crate) version: BTreeMap<String, u64>,
    pub(crate) local: Local,
    pub(crate) store: Store,
    pub(crate) behind: Behind,
    pub(crate) identity: Identity,
    #[serde(rename = "value")]
    pub(crate) values: Vec<ValueSettings>,
    #[serde(rename = "route")]
    pub(crate) routes: Vec<Route>,
    #[serde(rename = "limit")]
    pub(crate) limits: Vec<Limit>,
}

/// How the cache treats a path that no route names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unlisted {
    /// A response is fresh for as long as it states itself (RFC 9111 section 4.2.1), or for the
    /// layer's own TTL ([`CacheLayer::ttl`](crate::CacheLayer::ttl)). One without either is not used
    /// unless the inner service has confirmed it.
    #[default]
    Explicit,
    /// As `Explicit`, with heuristic freshness in addition: if a response states nothing and the
    /// request carried no credentials, it is considered fresh for a tenth of the time since its
    /// `Last-Modified`, at most one day (RFC 9111 section 4.2.2). A handler prevents that with
    /// `Cache-Control: no-cache`.
    Standard,
    /// Requests and responses pass through untouched.
    Pass,
}

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    limit::{Limit, RateLimiting},
    route::Route,
    section::{Identity, Local, Store, ValueSettings},
    ttl::Ttl,
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
    pub(crate) identity: Identity,
    pub(crate) values: ValueSettings,
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
    /// RFC 9111 alone decides; the table's TTL does not apply. A response is fresh for as long as
    /// it states. If it states nothing and the request carried no credentials, it is considered
    /// fresh for a tenth of the time since its `Last-Modified`, at most one day (section 4.2.2). A
    /// handler prevents that with `Cache-Control: no-cache`.
    #[default]
    Standard,
    /// Requests and responses pass through untouched.
    Pass,
}

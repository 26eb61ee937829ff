use std::{collections::BTreeMap, path::Path, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

use super::{
    Identity, Limit, Local, RateLimiting, Route, Store, Warning, check, load, plan::Plan,
    section::Values, ttl::Ttl,
};
use crate::error::Error;

/// The whole configuration of a keep. See the [module](crate::table) for an example.
///
/// From a file, from text, as a section of another configuration (it is [`Deserialize`]), or in
/// code: all four know the same names. What is read is validated at once; what is written in code
/// when [`validate`](Self::validate) is called.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Table(pub(crate) Fields);

/// What happens to a path that no route names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unlisted {
    /// HTTP alone decides (RFC 9111), never the table's TTL: its response is fresh for as long as it
    /// says itself. One that says nothing, to a request without credentials, is taken to be fresh
    /// for a tenth of the time since its `Last-Modified`, a day at most (section 4.2.2); a handler
    /// that does not want that says `Cache-Control: no-cache`.
    #[default]
    Standard,
    /// It passes untouched.
    Pass,
}

/// The table's names, as TOML and serde have them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fields {
    pub(crate) namespace: String,
    pub(crate) unlisted: Unlisted,
    pub(crate) rate_limit: RateLimiting,
    pub(crate) ttl: Ttl,
    pub(crate) version: BTreeMap<String, u64>,
    pub(crate) local: Local,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) values: Values,
    #[serde(rename = "route")]
    pub(crate) routes: Vec<Route>,
    #[serde(rename = "limit")]
    pub(crate) limits: Vec<Limit>,
}

impl Table {
    /// No routes, no limits; entities live for an hour, nothing longer than 30 days.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads and validates a TOML file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is refused: the message names file and line, and what to write
    /// instead.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        load::file(path.as_ref())
    }

    /// Reads and validates TOML.
    ///
    /// # Errors
    ///
    /// If it is refused: the message names the line, and what to write instead.
    ///
    /// ```
    /// use tower_keep::Table;
    ///
    /// let error = Table::from_toml("[ttl]\nengagement = \"soon\"").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: \"soon\" is no duration; write \"30m\""));
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        load::text(text, None)
    }

    /// The first thing in it that is wrong, with its remedy.
    ///
    /// # Errors
    ///
    /// If a name, template, path, field, address or number is malformed, two routes serve one path,
    /// or settings contradict each other.
    pub fn validate(&self) -> Result<(), Error> {
        Plan::compile(self).map(drop)
    }

    /// What is allowed, but probably not meant.
    #[must_use]
    pub fn check(&self) -> Vec<Warning> {
        check::warnings(&self.0)
    }

    /// Put before every key and channel.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }

    /// What happens to a path that no route names.
    pub fn unlisted(mut self, unlisted: Unlisted) -> Self {
        self.0.unlisted = unlisted;
        self
    }

    /// How long what belongs to `entity` stays fresh; [`Duration::MAX`] is `"never"`.
    pub fn ttl(mut self, entity: impl Into<String>, ttl: Duration) -> Self {
        self.0.ttl.entities.insert(entity.into(), ttl);
        self
    }

    /// The TTL of entities without one of their own; one hour if not given.
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl.default = ttl;
        self
    }

    /// What nothing outlives; 30 days if not given.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl.max = ttl;
        self
    }

    /// The share of a TTL by which it is shortened at random, 0 to 1; 0.1 if not given.
    pub fn jitter(mut self, share: f64) -> Self {
        self.0.ttl.jitter = share;
        self
    }

    /// The version of an entity's keys: another one makes every earlier entry unreachable.
    pub fn version(mut self, entity: impl Into<String>, version: u64) -> Self {
        self.0.version.insert(entity.into(), version);
        self
    }

    /// The tier in each process.
    pub fn local(mut self, local: Local) -> Self {
        self.0.local = local;
        self
    }

    /// How long the shared store may take.
    pub fn store(mut self, store: Store) -> Self {
        self.0.store = store;
        self
    }

    /// How users and addresses are known.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.0.identity = identity;
        self
    }

    /// Adds an entity whose application values are bare JSON, which other programs read.
    pub fn plain(mut self, entity: impl Into<String>) -> Self {
        self.0.values.plain.push(entity.into());
        self
    }

    /// Adds a route.
    pub fn route(mut self, route: Route) -> Self {
        self.0.routes.push(route);
        self
    }

    /// Switches all limits: on, only watching, or off.
    pub fn rate_limit(mut self, switch: RateLimiting) -> Self {
        self.0.rate_limit = switch;
        self
    }

    /// Adds a limit.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.0.limits.push(limit);
        self
    }
}

/// As [`Table::from_toml`].
impl FromStr for Table {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_toml(text)
    }
}

/// As a section of another configuration; validated.
impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Self(Fields::deserialize(deserializer)?);
        table.validate().map_err(de::Error::custom)?;
        Ok(table)
    }
}

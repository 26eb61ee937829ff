use std::{path::Path, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

use super::{
    behind::Behind,
    limit::{Limit, RateLimiting},
    load,
    one_or_many::OneOrMany,
    plan::Plan,
    route::Route,
    section::{Identity, Local, Store},
    settings::{Settings, Unlisted},
    value_settings::ValueSettings,
    warnings::{self, Warning},
};
use crate::error::Error;

/// The configuration of a [`Keep`](crate::Keep). See the [module](crate::table) for an example.
///
/// A table comes from a file, from text, from a section of another configuration (it implements
/// [`Deserialize`]), or from code; all four use the same names. A table that is read is validated
/// at once. One that is built in code is validated by [`Keep::new`](crate::Keep::new), which
/// returns the error, or earlier by [`validate`](Self::validate).
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Table(Settings);

impl Table {
    /// A table without routes and limits: entities have a TTL of one hour, and no entry is kept for
    /// more than 30 days.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads and validates a TOML file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or its content is invalid: the message names the file and the
    /// line, and says what to write instead.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        load::file(path.as_ref()).map(Self)
    }

    /// Reads and validates TOML.
    ///
    /// # Errors
    ///
    /// If the text is invalid: the message names the line, and says what to write instead.
    ///
    /// ```
    /// use tower_keep::Table;
    ///
    /// let error = Table::from_toml("[ttl]\nengagement = \"soon\"").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: \"soon\" is not a duration; write \"30m\""));
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        load::text(text, None).map(Self)
    }

    /// Checks that a keep can be made from this table.
    ///
    /// # Errors
    ///
    /// If the table is invalid: the message has the first error, and what to write instead. Errors are
    /// a malformed name, template, path, field, address or number, two routes for one path, or
    /// settings that contradict each other.
    pub fn validate(&self) -> Result<(), Error> {
        self.compile().map(drop)
    }

    /// Lists settings that are valid, but probably not intended.
    ///
    /// [`Keep::new`](crate::Keep::new), `Keep::with_store` and
    /// [`Keep::reload`](crate::Keep::reload) log each of them.
    #[must_use]
    pub fn check(&self) -> Vec<Warning> {
        warnings::of(&self.0)
    }

    pub(crate) fn compile(&self) -> Result<Plan, Error> {
        Plan::compile(&self.0)
    }

    /// The prefix of every key and channel.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }

    /// The authorities that are served: the default of [`Route::host`], which describes their form.
    /// Requests with other authorities bypass the cache.
    pub fn host<Shape: ?Sized>(mut self, authorities: impl OneOrMany<String, Shape>) -> Self {
        self.0.host = authorities.into_vec();
        self
    }

    /// How the cache treats a path that no route names. The table's TTLs never apply to it.
    pub fn unlisted(mut self, unlisted: Unlisted) -> Self {
        self.0.unlisted = unlisted;
        self
    }

    /// How long responses and values of `entity` stay fresh; [`Duration::MAX`] is `"never"`, which
    /// means as long as [`max_ttl`](Self::max_ttl) allows.
    pub fn ttl(mut self, entity: impl Into<String>, ttl: Duration) -> Self {
        self.0.ttl.entities.insert(entity.into(), ttl);
        self
    }

    /// The TTL of entities without one of their own; by default one hour, or
    /// [`max_ttl`](Self::max_ttl) if that is shorter.
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl.default = Some(ttl);
        self
    }

    /// The longest time that any entry is kept; 30 days by default.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl.max = ttl;
        self
    }

    /// The largest share of a TTL, from 0 to 1, by which it is shortened at random; 0.1 by default.
    pub fn jitter(mut self, share: f64) -> Self {
        self.0.ttl.jitter = share;
        self
    }

    /// The version of an entity's keys. A new version makes all earlier entries unreachable.
    pub fn version(mut self, entity: impl Into<String>, version: u64) -> Self {
        self.0.version.insert(entity.into(), version);
        self
    }

    /// The local tier of each process.
    pub fn local(mut self, local: Local) -> Self {
        self.0.local = local;
        self
    }

    /// The time limits of the shared store.
    pub fn store(mut self, store: Store) -> Self {
        self.0.store = store;
        self
    }

    /// The queue of writes that are accepted at once and applied later.
    pub fn behind(mut self, behind: Behind) -> Self {
        self.0.behind = behind;
        self
    }

    /// How users and client addresses are identified.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.0.identity = identity;
        self
    }

    /// Adds the settings of values that code caches.
    pub fn value(mut self, value: ValueSettings) -> Self {
        self.0.values.push(value);
        self
    }

    /// Adds a route.
    pub fn route(mut self, route: Route) -> Self {
        self.0.routes.push(route);
        self
    }

    /// Switches all limits on, off, or to shadow mode.
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

/// Reads TOML, like [`Table::from_toml`].
impl FromStr for Table {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_toml(text)
    }
}

/// Reads and validates a section of another configuration.
impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Self(Settings::deserialize(deserializer)?);
        table.validate().map_err(de::Error::custom)?;
        Ok(table)
    }
}

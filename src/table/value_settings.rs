use std::time::Duration;

use serde::Deserialize;

use super::quantities;

/// `[[value]]`: how the values that code caches under some keys are stored.
///
/// It also declares their entity, so that [`Table::check`](crate::Table::check) does not take its name
/// for a misspelt one.
///
/// ```
/// use tower_keep::{Table, table::{ValueSettings, hours}};
///
/// let table = Table::new().value(ValueSettings::new("config:*").ttl(hours(1)).plain(true));
/// # assert!(table.check().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct ValueSettings {
    pub(crate) key: String,
    #[serde(default, deserialize_with = "quantities::some_ttl")]
    pub(crate) ttl: Option<Duration>,
    #[serde(default)]
    pub(crate) plain: bool,
}

impl ValueSettings {
    /// Creates the settings of the values whose keys match `key`: literal segments, and `*` in place of
    /// identifiers, as `config:*` or `agent:*:status`. As in a route's key, the literal segments are the
    /// entity; values of the entities below it have the same settings, unless those have their own.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            ttl: None,
            plain: false,
        }
    }

    /// How long the values stay fresh, instead of the entity's TTL.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether the values are stored in Redis as bare JSON, which other programs can read and write.
    /// Such values are not protected against races with invalidations.
    pub fn plain(mut self, yes: bool) -> Self {
        self.plain = yes;
        self
    }
}

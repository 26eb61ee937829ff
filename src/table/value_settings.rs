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
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) refresh_ahead: Option<Duration>,
    #[serde(default)]
    pub(crate) early_refresh: bool,
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) stale_while_revalidate: Option<Duration>,
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) stale_if_error: Option<Duration>,
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
            refresh_ahead: None,
            early_refresh: false,
            stale_while_revalidate: None,
            stale_if_error: None,
            plain: false,
        }
    }

    /// How long the values stay fresh, instead of the entity's TTL.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Refreshes a value when [`get_or_set`](crate::Keep::get_or_set) or
    /// [`get_or_refresh`](crate::Keep::get_or_refresh) uses it and it stays fresh for less than this. Must
    /// be less than the TTL.
    pub fn refresh_ahead(mut self, left: Duration) -> Self {
        self.refresh_ahead = Some(left);
        self
    }

    /// Whether values are refreshed before they expire, at random: the probability grows with the time
    /// that it took to make the value, and as the expiry comes closer.
    pub fn early_refresh(mut self, yes: bool) -> Self {
        self.early_refresh = yes;
        self
    }

    /// How long a stale value is returned while one caller makes a fresh one (RFC 5861 section 3).
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// How long a stale value is returned instead of the error of `make` (RFC 5861 section 4).
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// Whether the values are stored in Redis as bare JSON, which other programs can read and write.
    /// Such values are not protected against races with invalidations.
    pub fn plain(mut self, yes: bool) -> Self {
        self.plain = yes;
        self
    }
}

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};

use super::quantities;

/// `[ttl]`: `default`, `max`, `jitter`, and the TTLs of entities.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ttl {
    /// [`default`](Self::default_ttl) if the table gives it.
    pub(crate) default: Option<Duration>,
    pub(crate) max: Duration,
    pub(crate) jitter: f64,
    pub(crate) entities: BTreeMap<String, Duration>,
}

impl Default for Ttl {
    fn default() -> Self {
        Self {
            default: None,
            max: quantities::days(30),
            jitter: 0.1,
            entities: BTreeMap::new(),
        }
    }
}

impl Ttl {
    /// The TTL of entities without one of their own: one hour, or `max` if that is shorter.
    pub(super) fn default_ttl(&self) -> Duration {
        self.default
            .unwrap_or_else(|| quantities::hours(1).min(self.max))
    }
}

/// Rejects a TTL of zero, and one above `max`.
pub(super) fn check(ttl: Duration, max: Duration) -> Result<(), String> {
    if ttl.is_zero() {
        return Err(
            "a TTL must be greater than 0; write \"1s\" or more (a response that must not be stored says `no-store`)"
                .to_owned(),
        );
    }
    if ttl > max && ttl != quantities::NEVER {
        let (ttl, max) = (quantities::text(ttl), quantities::text(max));
        return Err(format!(
            "{ttl} is longer than [ttl] max, {max}; write at most \"{max}\", \"never\" for that long, or a longer max"
        ));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TtlVisitor)
    }
}

struct TtlVisitor;

impl<'de> de::Visitor<'de> for TtlVisitor {
    type Value = Ttl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("durations by entity")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ttl, A::Error> {
        let mut ttl = Ttl::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "default" => ttl.default = Some(map.next_value::<TtlValue>()?.0),
                // `plan::globals` rejects "never" as a maximum.
                "max" => ttl.max = map.next_value::<TtlValue>()?.0,
                "jitter" => ttl.jitter = map.next_value::<ShareValue>()?.0,
                _ => {
                    let lifetime = map.next_value::<TtlValue>()?.0;
                    ttl.entities.insert(name, lifetime);
                }
            }
        }
        Ok(ttl)
    }
}

#[derive(Deserialize)]
struct TtlValue(#[serde(deserialize_with = "quantities::ttl")] Duration);

#[derive(Deserialize)]
struct ShareValue(#[serde(deserialize_with = "quantities::share")] f64);

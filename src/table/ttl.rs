use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};

use super::unit;

/// `[ttl]`: `default`, `max`, `jitter`, and the TTLs of entities.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ttl {
    pub(crate) default: Duration,
    pub(crate) max: Duration,
    pub(crate) jitter: f64,
    pub(crate) entities: BTreeMap<String, Duration>,
}

impl Default for Ttl {
    fn default() -> Self {
        Self {
            default: unit::hours(1),
            max: unit::days(30),
            jitter: 0.1,
            entities: BTreeMap::new(),
        }
    }
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
                "default" => ttl.default = map.next_value::<TtlValue>()?.0,
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
struct TtlValue(#[serde(deserialize_with = "unit::ttl")] Duration);

#[derive(Deserialize)]
struct ShareValue(#[serde(deserialize_with = "unit::share")] f64);

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// The quota units that one request costs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// This number.
    Fixed(u64),
    /// The number in this request header, which only a gateway should set; 1 if there is none.
    Header(String),
}

impl Default for Cost {
    fn default() -> Self {
        Self::Fixed(1)
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Cost;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or \"header:NAME\"")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Cost, E> {
                Ok(Cost::Fixed(n))
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Cost, E> {
                u64::try_from(n)
                    .map(Cost::Fixed)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cost, E> {
                text.strip_prefix("header:")
                    .map(|name| Cost::Header(name.to_owned()))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        d.deserialize_any(Visitor)
    }
}

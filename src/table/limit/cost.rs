use serde::{Deserialize, Deserializer};

use crate::table::quantities::text_or_number;

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
        const EXPECTED: &str = "a whole number or \"header:NAME\"";
        let text = |text: &str| match text.strip_prefix("header:") {
            Some(name) => Ok(Self::Header(name.to_owned())),
            None => Err(format!(
                "invalid value: string {text:?}, expected {EXPECTED}"
            )),
        };
        text_or_number(d, EXPECTED, text, |n| Ok(Self::Fixed(n)))
    }
}

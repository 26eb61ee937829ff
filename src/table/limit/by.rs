use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, value::SeqAccessDeserializer},
};

/// The subject, or a part of it, that requests are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// The verified user; if there is none, the client's address.
    User,
    /// The client's address; for IPv6, its prefix. Requests whose address is unknown share one
    /// counter: see [`rate_limit`](crate::rate_limit#subjects).
    Ip,
    /// The pattern of the route that matches the path.
    Route,
    /// A hash of this request header.
    Header(String),
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        parse_by(&text).map_err(de::Error::custom)
    }
}

fn parse_by(text: &str) -> Result<By, String> {
    match text {
        "user" => Ok(By::User),
        "ip" => Ok(By::Ip),
        "route" => Ok(By::Route),
        _ => text.strip_prefix("header:").map(|name| By::Header(name.to_owned())).ok_or_else(|| {
            format!("{text:?} is not a subject to count by; write \"user\", \"ip\", \"route\" or \"header:NAME\"")
        }),
    }
}

/// Reads one part, or a list of parts.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<By>, D::Error> {
    struct ByVisitor;

    impl<'de> de::Visitor<'de> for ByVisitor {
        type Value = Vec<By>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"user\", \"ip\", \"route\", \"header:NAME\" or a list of them")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<By>, E> {
            Ok(vec![parse_by(text).map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<By>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }

    d.deserialize_any(ByVisitor)
}

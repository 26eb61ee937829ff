use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess},
};

use super::{one_or_many::OneOrMany, unit};
use crate::quota::Algorithm;

/// `[[limit]]`: how much a subject may ask for.
///
/// Limits match independently of each other and of the routes: every one that applies must admit a
/// request.
///
/// ```
/// use tower_keep::table::{By, Limit, mins};
///
/// let limit = Limit::new("api", 100, mins(1)).by([By::User]).path("/{*rest}");
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Limit {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) methods: Vec<String>,
    #[serde(default = "by_user", deserialize_with = "one_or_more")]
    pub(crate) by: Vec<By>,
    pub(crate) limit: u64,
    #[serde(deserialize_with = "unit::duration")]
    pub(crate) window: Duration,
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    #[serde(default)]
    pub(crate) burst: Option<u64>,
    #[serde(default)]
    pub(crate) cost: Cost,
    #[serde(default)]
    pub(crate) refund_on: Vec<String>,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default)]
    pub(crate) shadow: bool,
    #[serde(default)]
    pub(crate) lease: Option<u64>,
    #[serde(default)]
    pub(crate) exempt: Vec<String>,
    #[serde(default)]
    pub(crate) plans: BTreeMap<String, u64>,
}

/// What requests are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// The verified user; where none is known, the address.
    User,
    /// The client's address, IPv6 by prefix. Requests whose address nobody knows share one
    /// counter: see [`rate_limit`](crate::rate_limit#whom-they-count).
    Ip,
    /// The route that serves the path.
    Route,
    /// The value of a request field.
    Header(String),
}

/// The switch for all limits: the table's `rate_limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RateLimiting {
    /// Each limit as it says.
    #[default]
    On,
    /// As if every limit said `shadow = true`.
    Shadow,
    /// Nothing is counted and nothing refused.
    Off,
}

/// What a limit does when the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnError {
    /// It counts in this process.
    #[default]
    Local,
    /// It admits.
    Open,
    /// It refuses.
    Closed,
}

/// What one request counts for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// So much.
    Fixed(u64),
    /// The number in this request field, which only a gateway should set; 1 where there is none.
    Header(String),
}

impl Default for Cost {
    fn default() -> Self {
        Self::Fixed(1)
    }
}

impl Limit {
    /// At most `limit` within `window`, by user, on every path. A limit of 0 refuses all.
    pub fn new(name: impl Into<String>, limit: u64, window: Duration) -> Self {
        Self {
            name: name.into(),
            path: None,
            methods: Vec::new(),
            by: by_user(),
            limit,
            window,
            algorithm: Algorithm::SlidingWindow,
            burst: None,
            cost: Cost::Fixed(1),
            refund_on: Vec::new(),
            on_error: OnError::Local,
            shadow: false,
            lease: None,
            exempt: Vec::new(),
            plans: BTreeMap::new(),
        }
    }

    /// Only requests of this path, in matchit's syntax; `/{*rest}` is every path but `/`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Only requests of these methods.
    pub fn methods<Shape: ?Sized>(mut self, methods: impl OneOrMany<String, Shape>) -> Self {
        self.methods = methods.into_vec();
        self
    }

    /// What requests are counted by; of several, each combination has a count of its own.
    pub fn by<Shape: ?Sized>(mut self, by: impl OneOrMany<By, Shape>) -> Self {
        self.by = by.into_vec();
        self
    }

    /// How requests are counted.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How many at once, with [`Algorithm::Gcra`]; the limit if not given.
    pub fn burst(mut self, burst: u64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// What one request counts for; 1 if not given.
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// Answers that count for nothing: `5xx`, `404`.
    pub fn refund_on<Shape: ?Sized>(mut self, statuses: impl OneOrMany<String, Shape>) -> Self {
        self.refund_on = statuses.into_vec();
        self
    }

    /// What it does when the store does not answer.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Whether it decides and reports, but never refuses.
    pub fn shadow(mut self, yes: bool) -> Self {
        self.shadow = yes;
        self
    }

    /// How much a process may take from the store at once, to admit without asking again.
    ///
    /// It has no effect yet, and [`Table::check`](crate::Table::check) says so: every decision asks
    /// the store, so that the limit is exact.
    pub fn lease(mut self, amount: u64) -> Self {
        self.lease = Some(amount);
        self
    }

    /// Who is not counted: `user:admin`, `ip:10.0.0.0/8`, `path:/healthz`.
    pub fn exempt<Shape: ?Sized>(mut self, subjects: impl OneOrMany<String, Shape>) -> Self {
        self.exempt = subjects.into_vec();
        self
    }

    /// The limit of users of this plan, instead of the general one.
    pub fn plan(mut self, name: impl Into<String>, limit: u64) -> Self {
        self.plans.insert(name.into(), limit);
        self
    }
}

fn by_user() -> Vec<By> {
    vec![By::User]
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
            format!("{text:?} is nothing to count by; write \"user\", \"ip\", \"route\" or \"header:NAME\"")
        }),
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<By>, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<By>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"user\", \"ip\", \"route\", \"header:NAME\" or a list of them")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<By>, E> {
            Ok(vec![parse_by(text).map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<By>, A::Error> {
            let mut all = Vec::new();
            while let Some(by) = seq.next_element()? {
                all.push(by);
            }
            Ok(all)
        }
    }

    d.deserialize_any(Visitor)
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

use std::{collections::BTreeMap, fmt, time::Duration};

use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};

use super::unit;

/// `[[route]]`: how the responses of one path are kept.
///
/// ```
/// use tower_keep::table::{Route, Scope, mins};
///
/// let route = Route::new("/dashboards/{org}/stats")
///     .key("dashboard:{org}:stats")
///     .scope(Scope::Public)
///     .refresh_ahead(mins(5));
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Route {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) key: Option<String>,
    #[serde(default)]
    pub(crate) scope: Option<Scope>,
    #[serde(default)]
    pub(crate) host: Vec<String>,
    #[serde(default)]
    pub(crate) query: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) ignore_query: Vec<String>,
    #[serde(default)]
    pub(crate) vary: Vec<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) invalidates: Vec<String>,
    #[serde(default, deserialize_with = "unit::some_ttl")]
    pub(crate) ttl: Option<Duration>,
    #[serde(default, rename = "override")]
    pub(crate) override_freshness: bool,
    #[serde(default, deserialize_with = "unit::some_duration")]
    pub(crate) refresh_ahead: Option<Duration>,
    #[serde(default)]
    pub(crate) early_refresh: bool,
    #[serde(default, deserialize_with = "unit::some_duration")]
    pub(crate) stale_while_revalidate: Option<Duration>,
    #[serde(default, deserialize_with = "unit::some_duration")]
    pub(crate) stale_if_error: Option<Duration>,
    #[serde(default, deserialize_with = "negative")]
    pub(crate) negative: BTreeMap<u16, Duration>,
    #[serde(default)]
    pub(crate) strip: Vec<String>,
    #[serde(default, deserialize_with = "unit::some_size")]
    pub(crate) max_body: Option<u64>,
    #[serde(default)]
    pub(crate) safe_methods: Vec<String>,
    #[serde(default)]
    pub(crate) request_directives: RequestDirectives,
    #[serde(default)]
    pub(crate) before: bool,
    #[serde(default, deserialize_with = "unit::some_duration")]
    pub(crate) settle: Option<Duration>,
    #[serde(default)]
    pub(crate) write: Write,
    #[serde(default)]
    pub(crate) through: Through,
    #[serde(default)]
    pub(crate) grpc: Option<Grpc>,
}

/// Who may be served a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// Whoever reaches the layer: the author vouches that all get the same answer.
    Public,
    /// Only the user it was made for.
    User,
}

/// What a successful write does to the stored response of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Write {
    /// It becomes unusable.
    #[default]
    Invalidate,
    /// It is replaced.
    Through,
    /// The write itself is to be accepted at once and applied later. It has no effect yet, and
    /// [`Table::check`](crate::Table::check) says so: the write reaches the handler at once, and
    /// what it changed becomes unusable.
    Behind,
}

/// What replaces a stored response on write-through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Through {
    /// What a GET answers after the write.
    #[default]
    Refetch,
    /// The write's own answer.
    Answer,
}

/// What a gRPC method does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Grpc {
    /// It changes nothing: handled as a safe method.
    Read,
    /// It may change something: handled as an unsafe method.
    Write,
}

/// What the request's own `Cache-Control` counts for (RFC 9111 section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RequestDirectives {
    /// It is obeyed.
    #[default]
    Obey,
    /// It is ignored: clients cannot make the inner service work.
    Ignore,
}

impl Route {
    /// A route of this path, in matchit's syntax as axum's: `/users/{id}`, `/files/{*path}`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            key: None,
            scope: None,
            host: Vec::new(),
            query: None,
            ignore_query: Vec::new(),
            vary: Vec::new(),
            tags: Vec::new(),
            invalidates: Vec::new(),
            ttl: None,
            override_freshness: false,
            refresh_ahead: None,
            early_refresh: false,
            stale_while_revalidate: None,
            stale_if_error: None,
            negative: BTreeMap::new(),
            strip: Vec::new(),
            max_body: None,
            safe_methods: Vec::new(),
            request_directives: RequestDirectives::Obey,
            before: false,
            settle: None,
            write: Write::Invalidate,
            through: Through::Refetch,
            grpc: None,
        }
    }

    /// The key's template: `engagement:{id}`. Without one, host and path are the key, as for a
    /// path that no route names.
    pub fn key(mut self, template: impl Into<String>) -> Self {
        self.key = Some(template.into());
        self
    }

    /// Who may be served a stored response; without a scope, RFC 9111 section 3.5 says.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Serves only these authorities. For others the path is one that no route names.
    pub fn host<S: Into<String>>(mut self, authorities: impl IntoIterator<Item = S>) -> Self {
        self.host = strings(authorities);
        self
    }

    /// Only these query parameters distinguish responses.
    pub fn query<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.query = Some(strings(names));
        self
    }

    /// All query parameters but these distinguish responses; `utm_*` names all that begin so.
    pub fn ignore_query<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.ignore_query = strings(names);
        self
    }

    /// Request fields that distinguish responses, whether or not their `Vary` says so.
    pub fn vary<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.vary = strings(fields);
        self
    }

    /// Templates of the tags that its responses carry: `org:{answer.org_id}`.
    pub fn tags<S: Into<String>>(mut self, templates: impl IntoIterator<Item = S>) -> Self {
        self.tags = strings(templates);
        self
    }

    /// Templates of the keys and patterns that a successful write of this path invalidates.
    pub fn invalidates<S: Into<String>>(mut self, templates: impl IntoIterator<Item = S>) -> Self {
        self.invalidates = strings(templates);
        self
    }

    /// How long its responses stay fresh, instead of the entity's TTL; only with a
    /// [`key`](Self::key).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether the TTL, and [`negative`](Self::negative)'s, count even where the response says
    /// otherwise: `override` in a file.
    pub fn override_freshness(mut self, yes: bool) -> Self {
        self.override_freshness = yes;
        self
    }

    /// Refreshes in the background once less than this is left; must be less than the TTL.
    pub fn refresh_ahead(mut self, left: Duration) -> Self {
        self.refresh_ahead = Some(left);
        self
    }

    /// Whether a response is refreshed early at random, the likelier the dearer it is and the
    /// nearer its end.
    pub fn early_refresh(mut self, yes: bool) -> Self {
        self.early_refresh = yes;
        self
    }

    /// How long a stale response is served while a fresh one is fetched (RFC 5861 section 3).
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// How long a stale response is served instead of an error (RFC 5861 section 4).
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// How long an answer of this status is stored: a redirection or an error.
    pub fn negative(mut self, status: StatusCode, time: Duration) -> Self {
        self.negative.insert(status.as_u16(), time);
        self
    }

    /// Response fields that are not stored: `set-cookie` makes its responses storable.
    pub fn strip<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.strip = strings(fields);
        self
    }

    /// The longest body stored, in bytes; 1 MiB if not given.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Methods beside GET and HEAD that change nothing here.
    pub fn safe_methods<S: Into<String>>(mut self, methods: impl IntoIterator<Item = S>) -> Self {
        self.safe_methods = strings(methods);
        self
    }

    /// What the request's own `Cache-Control` counts for.
    pub fn request_directives(mut self, directives: RequestDirectives) -> Self {
        self.request_directives = directives;
        self
    }

    /// Whether a write is declared before the inner service is called, so that even one whose
    /// process dies invalidates.
    pub fn before(mut self, yes: bool) -> Self {
        self.before = yes;
        self
    }

    /// Invalidates a second time after this delay, for reads through a lagging replica.
    pub fn settle(mut self, delay: Duration) -> Self {
        self.settle = Some(delay);
        self
    }

    /// What a successful write does to the stored response of its key.
    pub fn write(mut self, write: Write) -> Self {
        self.write = write;
        self
    }

    /// What replaces a stored response on write-through.
    pub fn through(mut self, through: Through) -> Self {
        self.through = through;
        self
    }

    /// What the gRPC method of this path does.
    pub fn grpc(mut self, grpc: Grpc) -> Self {
        self.grpc = Some(grpc);
        self
    }
}

pub(super) fn strings<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

/// Durations by status; the names of a TOML table are text.
fn negative<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<u16, Duration>, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = BTreeMap<u16, Duration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("durations by status, as { 404 = \"10s\" }")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut times = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                let status = name.parse().map_err(|_| {
                    de::Error::custom(format_args!("{name:?} is no status; write 404"))
                })?;
                times.insert(status, map.next_value::<Time>()?.0);
            }
            Ok(times)
        }
    }

    d.deserialize_map(Visitor)
}

#[derive(Deserialize)]
struct Time(#[serde(deserialize_with = "unit::duration")] Duration);

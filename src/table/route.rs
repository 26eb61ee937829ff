use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use serde::{Deserialize, Deserializer, de};

use super::{
    one_or_many::OneOrMany,
    quantities,
    route_options::{Grpc, PendingMode, RequestDirectives, Scope, Through, Write},
};

/// `[[route]]`: how the responses of one path are stored, and what writes to it invalidate.
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
    pub(crate) key: Option<String>,
    pub(crate) scope: Option<Scope>,
    #[serde(default)]
    pub(crate) host: Vec<String>,
    pub(crate) query: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) ignore_query: Vec<String>,
    #[serde(default)]
    pub(crate) ignore_path: Vec<String>,
    #[serde(default)]
    pub(crate) vary: Vec<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) invalidates: Vec<String>,
    #[serde(default, deserialize_with = "quantities::some_ttl")]
    pub(crate) ttl: Option<Duration>,
    #[serde(default, rename = "override")]
    pub(crate) override_freshness: bool,
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) refresh_ahead: Option<Duration>,
    #[serde(default)]
    pub(crate) early_refresh: bool,
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) stale_while_revalidate: Option<Duration>,
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) stale_if_error: Option<Duration>,
    #[serde(default, deserialize_with = "negative")]
    pub(crate) negative: BTreeMap<u16, Duration>,
    #[serde(default)]
    pub(crate) strip: Vec<String>,
    #[serde(default, deserialize_with = "quantities::some_size")]
    pub(crate) max_body: Option<u64>,
    #[serde(default)]
    pub(crate) safe_methods: Vec<String>,
    #[serde(default)]
    pub(crate) request_directives: RequestDirectives,
    #[serde(default)]
    pub(crate) before: bool,
    #[serde(default)]
    pub(crate) partial_writes: bool,
    #[serde(default, deserialize_with = "quantities::some_duration")]
    pub(crate) settle: Option<Duration>,
    #[serde(default)]
    pub(crate) write: Write,
    #[serde(default)]
    pub(crate) through: Through,
    #[serde(default)]
    pub(crate) pending: PendingMode,
    pub(crate) pending_field: Option<String>,
    pub(crate) pending_id: Option<String>,
    #[serde(default)]
    pub(crate) coalesce: bool,
    #[serde(default)]
    pub(crate) keep_fields: Vec<String>,
    pub(crate) grpc: Option<Grpc>,
}

impl Route {
    /// Creates a route for a path in the syntax of axum: `/users/{id}`, `/files/{*path}`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            key: None,
            scope: None,
            host: Vec::new(),
            query: None,
            ignore_query: Vec::new(),
            ignore_path: Vec::new(),
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
            partial_writes: false,
            settle: None,
            write: Write::Invalidate,
            through: Through::Refetch,
            pending: PendingMode::Ignore,
            pending_field: None,
            pending_id: None,
            coalesce: false,
            keep_fields: Vec::new(),
            grpc: None,
        }
    }

    /// The template of the key: `engagement:{id}`. It contains every parameter of the path, except
    /// those that [`ignore_path`](Self::ignore_path) names.
    ///
    /// Without it the key is made of host, path and query, as for a path that no route names, and no
    /// TTL of an entity applies.
    pub fn key(mut self, template: impl Into<String>) -> Self {
        self.key = Some(template.into());
        self
    }

    /// The clients that stored responses may be served to; if not given, RFC 9111 section 3.5 decides.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// The authorities that the route serves, by default those of [`Table::host`](crate::Table::host).
    /// Requests with other authorities bypass the cache; writes with other authorities still invalidate.
    ///
    /// | written as | served |
    /// |---|---|
    /// | `api.example.com` | this name without a port |
    /// | `api.example.com:8443` | this name with this port |
    /// | `*.example.com` | all names below `example.com`, at any depth |
    /// | `localhost:*` | this name with any port, or without one |
    /// | `*` | every authority |
    ///
    /// Names are compared without regard to case. Default ports: `h:80` and `h:443` also serve `h`, but
    /// `h` does not serve `h:443`, unless the scheme of the request is known and the port is its default.
    ///
    /// The authorities of a route share its stored responses, unless the key contains `{host}`.
    pub fn host<Shape: ?Sized>(mut self, authorities: impl OneOrMany<String, Shape>) -> Self {
        self.host = authorities.into_vec();
        self
    }

    /// The only query parameters that distinguish responses.
    ///
    /// A request bypasses the cache if it has a parameter that is not listed, but that a server may take
    /// for a listed one: `Page` or `page[]` for `page`.
    pub fn query<Shape: ?Sized>(mut self, names: impl OneOrMany<String, Shape>) -> Self {
        self.query = Some(names.into_vec());
        self
    }

    /// Query parameters that do not distinguish responses; `utm_*` stands for all names with that
    /// prefix.
    pub fn ignore_query<Shape: ?Sized>(mut self, names: impl OneOrMany<String, Shape>) -> Self {
        self.ignore_query = names.into_vec();
        self
    }

    /// Parameters of the path that do not distinguish responses, as the `slug` in
    /// `/posts/{id}/{slug}`: the [`key`](Self::key) leaves them out.
    pub fn ignore_path<Shape: ?Sized>(mut self, names: impl OneOrMany<String, Shape>) -> Self {
        self.ignore_path = names.into_vec();
        self
    }

    /// Request fields that distinguish responses, in addition to those in the responses' `Vary`.
    pub fn vary<Shape: ?Sized>(mut self, fields: impl OneOrMany<String, Shape>) -> Self {
        self.vary = fields.into_vec();
        self
    }

    /// Templates of the tags of stored responses: `org:{answer.org_id}`.
    pub fn tags<Shape: ?Sized>(mut self, templates: impl OneOrMany<String, Shape>) -> Self {
        self.tags = templates.into_vec();
        self
    }

    /// Templates of the keys and patterns that a successful write to this path invalidates.
    pub fn invalidates<Shape: ?Sized>(mut self, templates: impl OneOrMany<String, Shape>) -> Self {
        self.invalidates = templates.into_vec();
        self
    }

    /// How long responses with status 200, 203 or 204 stay fresh, instead of the entity's TTL. At most the table's `max`;
    /// [`Duration::MAX`] is `"never"`, which means that long.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether the TTL, and those set by [`negative`](Self::negative), take precedence over the
    /// freshness that a response states; `override` in a file.
    pub fn override_freshness(mut self, yes: bool) -> Self {
        self.override_freshness = yes;
        self
    }

    /// Refreshes a response in the background when a request uses it and it stays fresh for less
    /// than this. Must be less than the TTL.
    pub fn refresh_ahead(mut self, left: Duration) -> Self {
        self.refresh_ahead = Some(left);
        self
    }

    /// Whether responses are refreshed before they expire, at random: the probability grows with
    /// the time that the inner service took, and as the expiry comes closer.
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

    /// How long responses of this status, a redirection or an error, are fresh. The table is refused
    /// if the status is [about the request](crate::cache#responses-about-the-request), such as 400 or
    /// 429.
    pub fn negative(mut self, status: StatusCode, time: Duration) -> Self {
        self.negative.insert(status.as_u16(), time);
        self
    }

    /// Response fields that are not stored. Responses that set cookies are stored only if this
    /// names `set-cookie`.
    pub fn strip<Shape: ?Sized>(mut self, fields: impl OneOrMany<String, Shape>) -> Self {
        self.strip = fields.into_vec();
        self
    }

    /// The longest body that is stored, in bytes; 1 MiB by default.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Methods besides GET and HEAD that change nothing on this path.
    pub fn safe_methods<Shape: ?Sized>(mut self, methods: impl OneOrMany<String, Shape>) -> Self {
        self.safe_methods = methods.into_vec();
        self
    }

    /// Whether the `Cache-Control` of requests is obeyed; it is by default.
    pub fn request_directives(mut self, directives: RequestDirectives) -> Self {
        self.request_directives = directives;
        self
    }

    /// Whether a write is declared in the journal before the inner service is called, so that it
    /// invalidates even if the process dies during the write.
    ///
    /// It is declared once its content is there, up to [`max_body`](Self::max_body), so that a client
    /// cannot make the declared targets uncacheable by a request that it does not finish.
    pub fn before(mut self, yes: bool) -> Self {
        self.before = yes;
        self
    }

    /// Whether the handlers commit parts of a request before they have its whole content. Then a write
    /// whose content ends early invalidates like one that may have been committed, whatever its
    /// response; by default, it invalidates nothing but its own target.
    pub fn partial_writes(mut self, yes: bool) -> Self {
        self.partial_writes = yes;
        self
    }

    /// Invalidates a second time after this delay, for handlers that read from a lagging replica.
    pub fn settle(mut self, delay: Duration) -> Self {
        self.settle = Some(delay);
        self
    }

    /// The effect of a write on the stored response of its key, and whether it is applied at once or later.
    ///
    /// [`Write::Behind`] requires a [`key`](Self::key) without `{#body}`, because the writes of a key are
    /// applied in order, and is not for gRPC methods.
    pub fn write(mut self, write: Write) -> Self {
        self.write = write;
        self
    }

    /// The response that replaces the stored one on write-through.
    pub fn through(mut self, through: Through) -> Self {
        self.through = through;
        self
    }

    /// What a GET shows of writes that have been accepted, but not yet applied: nothing, by default. Requires
    /// [`Write::Behind`].
    ///
    /// [`PendingMode::Body`] shows PUT and DELETE, [`PendingMode::Prepend`] and [`PendingMode::Append`] show
    /// POST: other methods show nothing. Pending writes are shown only to requests without a query, and
    /// only to the user who made them, because no handler has authorised them yet. To show them to others,
    /// also with [`Scope::Public`], the layer needs a function that validates writes before they are
    /// accepted.
    pub fn pending(mut self, mode: PendingMode) -> Self {
        self.pending = mode;
        self
    }

    /// The field of the response's JSON object that holds the array to which [`PendingMode::Prepend`] and
    /// [`PendingMode::Append`] add. By default, the response itself is the array.
    pub fn pending_field(mut self, name: impl Into<String>) -> Self {
        self.pending_field = Some(name.into());
        self
    }

    /// The field by which the elements of the array are told apart: a pending write whose element the
    /// response has already is not added. Its values are chosen by the client that writes.
    ///
    /// Without it, an element may be seen twice, from the commit of its write to the end of the attempt.
    pub fn pending_id(mut self, name: impl Into<String>) -> Self {
        self.pending_id = Some(name.into());
        self
    }

    /// Whether a PUT that waits is replaced by a later PUT or DELETE, so that only the later is applied: one
    /// with the same user, path, query and kept fields, and, if it is a PUT, the same type, coding and
    /// language of the content. Requires [`Write::Behind`]; no by default.
    ///
    /// Only the last write of the key is replaced, and only if it is an unconditional PUT that no worker
    /// applies yet. If the later write is refused when it is applied, the earlier one is lost with it.
    pub fn coalesce(mut self, yes: bool) -> Self {
        self.coalesce = yes;
        self
    }

    /// Request fields that are kept with an accepted write for the service that applies it, besides
    /// `Content-*`, `If-*`, `Accept*` and `Idempotency-Key`. Requires [`Write::Behind`].
    ///
    /// The table is refused if one of them is a credential
    /// ([`Identity::credentials`](crate::table::Identity::credentials)), as `Authorization` and `Cookie` are:
    /// the service that applies the write gets the verified user instead.
    pub fn keep_fields<Shape: ?Sized>(mut self, fields: impl OneOrMany<String, Shape>) -> Self {
        self.keep_fields = fields.into_vec();
        self
    }

    /// Marks the path as a gRPC method that reads or writes.
    pub fn grpc(mut self, grpc: Grpc) -> Self {
        self.grpc = Some(grpc);
        self
    }
}

/// Reads durations by status; the names in a TOML table are text.
fn negative<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<u16, Duration>, D::Error> {
    let status = |name: String| match name.parse() {
        Ok(status) => Ok(status),
        Err(_) => Err(de::Error::custom(format_args!(
            "{name:?} is not a status; write 404"
        ))),
    };
    let times = BTreeMap::<String, DurationValue>::deserialize(d)?.into_iter();
    times
        .map(|(name, time)| Ok((status(name)?, time.0)))
        .collect()
}

#[derive(Deserialize)]
struct DurationValue(#[serde(deserialize_with = "quantities::duration")] Duration);

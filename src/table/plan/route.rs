use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, StatusCode};

use super::{
    behind_route::BehindRoute,
    hosts::{HostSet, Specificity},
    template::Template,
};
use crate::{
    key::{query::QueryFilter, query_name::ListedNames},
    semantics::{
        invalidation,
        storage_policy::{SharingScope, StoragePolicy},
    },
    table::route_options::{Grpc, PendingMode, RequestDirectives, Scope, Through, Write},
};

/// A compiled route: its settings, with defaults and TTL resolved.
#[derive(Debug)]
pub(crate) struct RoutePlan {
    /// The index among the table's routes.
    pub(crate) id: usize,
    /// The path as written in the table.
    pub(crate) path: Box<str>,
    /// The literal segments of the key; empty if the route has no key.
    pub(crate) entity: Arc<str>,
    /// The entity's version in `[version]`; 0 if none.
    pub(crate) version: u64,
    pub(crate) scope: Option<Scope>,
    /// The TTL of responses, capped by `max`; `None` if the route has neither a key nor a TTL.
    pub(crate) ttl: Option<Duration>,
    pub(crate) override_freshness: bool,
    pub(crate) refresh_ahead: Option<Duration>,
    pub(crate) early_refresh: bool,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) negative: Box<[(StatusCode, Duration)]>,
    /// The authorities that the route serves: its own, or the table's.
    pub(crate) hosts: HostSet,
    /// Whether the route itself names its hosts.
    pub(super) has_own_hosts: bool,
    pub(crate) vary: Box<[HeaderName]>,
    pub(crate) strip: Box<[HeaderName]>,
    /// The longest body that is stored, in bytes.
    pub(crate) max_body: u64,
    pub(crate) safe_methods: Box<[Method]>,
    pub(crate) request_directives: RequestDirectives,
    pub(crate) before: bool,
    pub(crate) partial_writes: bool,
    pub(crate) settle: Option<Duration>,
    pub(super) write: Write,
    pub(super) through: Through,
    /// With `write = "behind"` only.
    pub(crate) behind: Option<BehindRoute>,
    pub(crate) grpc: Option<Grpc>,
    /// Whether the key contains a hash of the body.
    pub(crate) needs_body: bool,
    /// Whether the scope is the user, or the key or tags contain the user.
    pub(crate) key_names_user: bool,
    /// Whether not every host is served, or the key or tags contain the host.
    pub(crate) key_names_host: bool,
    /// The query parameters that are a variation.
    pub(super) query: QueryFilter,
    /// The names in `query`; a request with a parameter that is almost one of them has no key.
    pub(super) listed_query: ListedNames,
    /// The query parameters that `{#query}` hashes.
    pub(super) query_in_key: QueryFilter,
    pub(super) key: Option<Template>,
    pub(super) tags: Box<[Template]>,
    pub(super) invalidates: Box<[Template]>,
}

impl RoutePlan {
    /// Whether a method changes nothing on this path: the safe methods of RFC 9110 section 9.2.1,
    /// and those that the table adds.
    #[inline]
    pub(crate) fn is_safe(&self, method: &Method) -> bool {
        match self.grpc {
            Some(Grpc::Read) => true,
            Some(Grpc::Write) => false,
            // GET first: most requests need only this comparison.
            None => {
                method == Method::GET
                    || invalidation::is_safe(method)
                    || invalidation::contains_method(&self.safe_methods, method)
            }
        }
    }

    pub(crate) fn is_grpc_read(&self) -> bool {
        self.grpc == Some(Grpc::Read)
    }

    /// Whether a GET shows writes that have not been applied.
    #[inline]
    pub(crate) fn shows_pending(&self) -> bool {
        let behind = self.behind.as_ref();
        behind.is_some_and(|behind| behind.pending != PendingMode::Ignore)
    }

    /// The settings that only an `InvalidateLayer` applies, as they are written in the table.
    pub(crate) fn settings_of_invalidate_layer(&self) -> Vec<&'static str> {
        let settings = [
            (!self.invalidates.is_empty(), "`invalidates`"),
            (self.before, "`before`"),
            (self.partial_writes, "`partial_writes`"),
            (self.settle.is_some(), "`settle`"),
            (self.write == Write::Through, "`write = \"through\"`"),
        ];
        let set = settings.into_iter().filter(|(is_set, _)| *is_set);
        set.map(|(_, name)| name).collect()
    }

    /// Whether only a `WriteBehindLayer` can handle the route's writes as the table says.
    pub(crate) fn needs_write_behind_layer(&self) -> bool {
        self.behind.is_some()
    }

    /// What replaces the stored response on write-through; `None` without write-through.
    pub(crate) fn through(&self) -> Option<Through> {
        let is_replaceable = !self.needs_body && self.grpc.is_none();
        (self.write == Write::Through && is_replaceable).then_some(self.through)
    }

    pub(crate) fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The route's settings for the storage of responses.
    pub(crate) fn policy(&self, max: Duration) -> StoragePolicy<'_> {
        StoragePolicy {
            scope: self.sharing(),
            ttl: self.ttl,
            override_freshness: self.override_freshness,
            negative: &self.negative,
            max,
            strip: &self.strip,
            stale_while_revalidate: self.stale_while_revalidate,
            stale_if_error: self.stale_if_error,
            heuristic: false,
            safe_method: self.needs_body,
            partial: true,
            request_directives: self.request_directives == RequestDirectives::Obey,
        }
    }

    pub(crate) fn sharing(&self) -> SharingScope {
        match self.scope {
            None => SharingScope::Standard,
            Some(Scope::Public) => SharingScope::Public,
            Some(Scope::User) => SharingScope::User,
        }
    }

    /// How well a host fits, to choose among the routes of one path; `None` if the route does not serve
    /// it. The route's own hosts take precedence over the table's.
    pub(super) fn host_rank(&self, host: Option<&str>) -> Option<(bool, Specificity)> {
        Some((self.has_own_hosts, self.hosts.specificity(host)?))
    }

    /// Whether two routes of one path serve the same host.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.has_own_hosts == other.has_own_hosts && self.hosts.overlaps(&other.hosts)
    }

    /// Whether a tag contains `{answer.FIELD}`, a field of the response's JSON content.
    pub(crate) fn tags_need_answer(&self) -> bool {
        self.tags.iter().any(Template::needs_answer)
    }

    /// Whether a template in `invalidates` contains `{answer.FIELD}`.
    pub(crate) fn invalidates_need_answer(&self) -> bool {
        self.invalidates.iter().any(Template::needs_answer)
    }
}

/// The longest body that is stored, in bytes, if no route sets `max_body`.
pub(crate) const DEFAULT_MAX_BODY: u64 = 1 << 20;

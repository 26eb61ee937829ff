use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    behind::{self, BehindPlan},
    build,
    entities::Entities,
    globals,
    hosts::HostSet,
    limit::LimitPlan,
    path::PathPattern,
    route::{DEFAULT_MAX_BODY, RoutePlan},
    route_match::RouteMatch,
    route_table::{self, RouteTable},
    value,
};
use crate::{
    error::Error,
    identity::IdentityPlan,
    key::{encode, path},
    semantics::refresh_policy::ValuePolicy,
    table::{
        limit::RateLimiting,
        problem::TableProblem,
        route_options::Through,
        settings::{Settings, Unlisted},
    },
};

/// A compiled table: finds the route and the limits of a request, and holds the other settings.
#[derive(Debug)]
pub(crate) struct Plan {
    routes: RouteTable,
    /// Whether a route has `write = "through"` with `through = "refetch"`.
    pub(crate) refetches: bool,
    has_behind_routes: bool,
    /// Whether reads of a route show pending writes.
    pub(crate) shows_pending: bool,
    limits: Vec<LimitPlan>,
    entities: Entities,
    /// The authorities that are served on paths without a route.
    hosts: HostSet,
    pub(crate) unlisted: Unlisted,
    pub(crate) rate_limit: RateLimiting,
    pub(crate) namespace: Box<str>,
    pub(crate) max_ttl: Duration,
    /// The largest share of a TTL, from 0 to 1, by which it is shortened at random.
    pub(crate) jitter: f64,
    /// The size of the local tier in bytes.
    pub(crate) local_size: u64,
    /// The most bytes of bodies that are buffered at the same time.
    pub(crate) fill_buffer: u64,
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) deadline: Duration,
    pub(crate) max_lag: Duration,
    /// The size of the journal of invalidations in bytes.
    pub(crate) journal_size: u64,
    pub(crate) identity: IdentityPlan,
    /// The settings of write-behind.
    pub(crate) behind: BehindPlan,
    plain: Box<[Box<str>]>,
}

/// Why no route serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No route matches the path.
    Path,
    /// The table or the path's routes name other hosts.
    Host,
}

impl Plan {
    /// Compiles a table.
    ///
    /// # Errors
    ///
    /// If the table is invalid: the message has the first problem, and what to write instead.
    pub(in crate::table) fn compile(settings: &Settings) -> Result<Self, Error> {
        let (plan, problems) = Self::with_problems(settings);
        let first = problems.into_iter().next();
        first.map_or(Ok(plan), |problem| Err(problem.into()))
    }

    /// Compiles the valid settings. Leaves out the others or keeps their defaults, and reports them.
    pub(in crate::table) fn with_problems(settings: &Settings) -> (Self, Vec<TableProblem>) {
        let mut problems = Vec::new();
        let mut plan = Self::without_routes(settings, &mut problems);
        plan.add_values(settings, &mut problems);
        plan.add_routes(settings, &mut problems);
        plan.add_limits(settings, &mut problems);
        if plan.has_behind_routes {
            problems.extend(behind::check_max_lag(plan.max_lag));
        }
        (plan, problems)
    }

    /// Whether a route has `write = "behind"`.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn behind_routes(&self) -> bool {
        self.has_behind_routes
    }

    /// The longest body of a response that any path may have stored, in bytes.
    pub(crate) fn max_body(&self) -> u64 {
        let bodies = self.routes().iter().map(|route| route.max_body);
        bodies.fold(DEFAULT_MAX_BODY, u64::max)
    }

    /// Finds the route that serves a path at a host: the most specific that matches the path; of
    /// several with the same path, the one that names the host most specifically.
    pub(crate) fn route(&self, path: &str, host: Option<&str>) -> Option<RouteMatch<'_>> {
        self.find_route(path, || host).ok()
    }

    /// Finds the route like [`route`](Self::route); calls `host` only if not every host is served.
    #[inline]
    pub(crate) fn find_route<'h>(
        &self,
        path: &str,
        host: impl Fn() -> Option<&'h str>,
    ) -> Result<RouteMatch<'_>, NoRoute> {
        let Some((routes, params)) = self.routes.all_of(path) else {
            let is_served = self.hosts.is_any() || self.hosts.serves(host());
            return Err(match self.unlisted {
                Unlisted::Pass => NoRoute::Path,
                _ if is_served => NoRoute::Path,
                _ => NoRoute::Host,
            });
        };
        let plan = match routes {
            [only] if only.hosts.is_any() => Some(only),
            several => route_table::most_specific(several, host()),
        };
        let plan = plan.ok_or(NoRoute::Host)?;
        Ok(RouteMatch { plan, params })
    }

    /// The routes that a write to this path at this host may change: the route that serves it, or, if
    /// none serves the host, all of the path.
    pub(crate) fn written_routes(
        &self,
        path: &str,
        host: Option<&str>,
    ) -> impl Iterator<Item = RouteMatch<'_>> {
        let serving = self.route(path, host);
        let others = match serving {
            Some(_) => None,
            None => self.routes.all_of(path),
        };
        let others = others.into_iter().flat_map(|(routes, params)| {
            let matched = move |plan| RouteMatch {
                plan,
                params: params.clone(),
            };
            routes.iter().map(matched)
        });
        serving.into_iter().chain(others)
    }

    /// Whether the inner service may read the path of another resource: see
    /// [`path::is_ambiguous`]. So may one that decodes escapes, or one that does not, if the path has
    /// another route by the other reading: a route of the table, or, as the inner service may have
    /// routes of its own, any that an escape of an unreserved character spells in another way.
    #[inline]
    pub(crate) fn is_ambiguous(&self, path: &str) -> bool {
        path::is_unusual(path)
            && (path::is_ambiguous(path)
                || encode::escapes_unreserved(path)
                || self.has_another_route(path))
    }

    /// Whether the path has another route if its escapes are decoded, or if its parameters (`;…`) are
    /// removed as well.
    fn has_another_route(&self, path: &str) -> bool {
        let normal = path::normalize_escapes(path);
        if matches!(normal, Cow::Owned(_)) && self.routes.are_found_elsewhere(path, &normal) {
            return true;
        }
        normal.contains(';') && {
            let bare = path::without_all_parameters(&normal);
            let normal = path::without_empty_segments(&bare);
            [bare, normal]
                .iter()
                .any(|read| self.routes.are_found_elsewhere(path, read))
        }
    }

    pub(crate) fn routes(&self) -> &[Arc<RoutePlan>] {
        &self.routes.all
    }

    pub(crate) fn limits(&self) -> &[LimitPlan] {
        &self.limits
    }

    #[cfg(test)]
    pub(crate) fn ttl_of_entity(&self, entity: &str) -> Duration {
        self.entities.ttl(entity).min(self.max_ttl)
    }

    /// The version that the table gives to an entity; 0 if none.
    pub(crate) fn version_of_entity(&self, entity: &str) -> u64 {
        self.entities.version(entity)
    }

    /// The entity of an application's key, and its TTL.
    pub(crate) fn ttl_for_raw_key<'a>(&'a self, key: &'a str) -> (&'a str, Duration) {
        let ttl = self.entities.ttl_of_key(key).min(self.max_ttl);
        (self.entities.of_key(key), ttl)
    }

    /// The entities with values that are stored as bare JSON, and not fenced.
    pub(crate) fn plain(&self) -> &[Box<str>] {
        &self.plain
    }

    /// Whether the values of an entity are stored as bare JSON, and not fenced.
    pub(crate) fn is_plain(&self, entity: &str) -> bool {
        self.entities.is_plain(entity)
    }

    /// How the values of an entity are refreshed and used stale.
    pub(crate) fn value_policy(&self, entity: &str) -> ValuePolicy {
        self.entities.value_policy(entity)
    }

    fn without_routes(settings: &Settings, problems: &mut Vec<TableProblem>) -> Self {
        let ttl = &settings.ttl;
        globals::check(settings, problems);
        let hosts = globals::hosts(settings, problems);
        Self {
            routes: RouteTable::default(),
            refetches: false,
            has_behind_routes: false,
            shows_pending: false,
            limits: Vec::new(),
            entities: globals::entities(settings),
            hosts,
            unlisted: settings.unlisted,
            rate_limit: settings.rate_limit,
            namespace: settings.namespace.as_str().into(),
            max_ttl: ttl.max,
            jitter: if ttl.jitter.is_finite() {
                ttl.jitter.clamp(0.0, 1.0)
            } else {
                0.0
            },
            local_size: settings.local.size,
            fill_buffer: settings.local.fill_buffer,
            deadline: settings.store.deadline,
            max_lag: settings.store.max_lag,
            journal_size: settings.store.journal_size,
            identity: globals::identity(&settings.identity, problems),
            behind: BehindPlan::compile(&settings.behind, problems),
            plain: Box::default(),
        }
    }

    fn add_values(&mut self, settings: &Settings, problems: &mut Vec<TableProblem>) {
        for (index, value) in settings.values.iter().enumerate() {
            if let Err(problem) = value::add(value, &mut self.entities, self.max_ttl) {
                problems.push(TableProblem::in_value(index, value, problem));
            }
        }
        let plain = settings.values.iter().filter(|value| value.plain);
        let entities = plain.filter_map(|value| value::entity(&value.key).ok());
        self.plain = entities.map(Into::into).collect();
    }

    fn add_routes(&mut self, settings: &Settings, problems: &mut Vec<TableProblem>) {
        for (index, route) in settings.routes.iter().enumerate() {
            let added = PathPattern::parse(&route.path)
                .map_err(|message| ("path", message))
                .and_then(|pattern| {
                    let plan = build::route(
                        index,
                        route,
                        &pattern,
                        &mut self.entities,
                        self.max_ttl,
                        &self.hosts,
                        &self.identity,
                    )?;
                    self.routes.add(plan, pattern.shape)
                });
            if let Err(problem) = added {
                problems.push(TableProblem::in_route(index, route, problem));
            }
        }
        self.routes.finish();
        let refetches = |route: &Arc<RoutePlan>| route.through() == Some(Through::Refetch);
        self.refetches = self.routes.all.iter().any(refetches);
        let mut routes = self.routes.all.iter();
        self.has_behind_routes = routes.any(|route| route.behind.is_some());
        self.shows_pending = self.routes.all.iter().any(|route| route.shows_pending());
    }

    fn add_limits(&mut self, settings: &Settings, problems: &mut Vec<TableProblem>) {
        for (index, limit) in settings.limits.iter().enumerate() {
            match LimitPlan::compile(limit) {
                Ok(plan) => self.limits.push(plan),
                Err(problem) => problems.push(TableProblem::in_limit(index, limit, problem)),
            }
        }
    }
}

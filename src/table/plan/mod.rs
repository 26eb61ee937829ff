//! The table compiled: what every request is looked up in. No locks, no look-up by name.

mod build;
mod entities;
mod fields;
mod globals;
pub(crate) mod limit;
mod path;
mod render;
mod route;
mod router;
mod template;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub(crate) use limit::LimitPlan;
pub(crate) use render::Bypass;
pub(crate) use route::{Matched, RoutePlan};

use super::{
    RateLimiting, Table, Unlisted,
    config::Fields,
    problem::{At, Problem},
};
use crate::{error::Error, identity::IdentityPlan, key::without_default_port};
use entities::Entities;
use path::Shape;
use router::Router;

/// A table, compiled.
#[derive(Debug)]
pub(crate) struct Plan {
    router: Router,
    /// By the number that the router gives: the routes of one path, those with hosts first.
    slots: Vec<Vec<Arc<RoutePlan>>>,
    routes: Vec<Arc<RoutePlan>>,
    limits: Vec<LimitPlan>,
    entities: Entities,
    pub(crate) unlisted: Unlisted,
    pub(crate) rate_limit: RateLimiting,
    pub(crate) namespace: Box<str>,
    pub(crate) max_ttl: Duration,
    /// A share of the TTL, 0 to 1.
    pub(crate) jitter: f64,
    /// In bytes.
    pub(crate) local_size: u64,
    pub(crate) deadline: Duration,
    pub(crate) max_lag: Duration,
    pub(crate) identity: IdentityPlan,
    plain: Box<[Box<str>]>,
}

impl Plan {
    /// Compiles; what is invalid is left out, or at its default, and reported.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; the error says what to write instead.
    pub(crate) fn compile(table: &Table) -> Result<Self, Error> {
        let (plan, problems) = Self::of(&table.0);
        match problems.into_iter().next() {
            None => Ok(plan),
            Some(problem) => Err(problem.into()),
        }
    }

    pub(super) fn of(fields: &Fields) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut plan = Self::without_routes(fields, &mut problems);
        plan.add_routes(fields, &mut problems);
        plan.add_limits(fields, &mut problems);
        (plan, problems)
    }

    /// The route of a path: the most specific that the path matches, of several for one path the
    /// one that names the host.
    pub(crate) fn route(&self, path: &str, host: Option<&str>) -> Option<Matched<'_>> {
        self.route_for(path, || host)
    }

    /// The same where the host is read only if it matters.
    #[inline]
    pub(crate) fn route_for<'h>(
        &self,
        path: &str,
        host: impl Fn() -> Option<&'h str>,
    ) -> Option<Matched<'_>> {
        let (slot, params) = self.router.at(path)?;
        let routes = self.slots.get(slot)?;
        let serves = |plan: &&Arc<RoutePlan>| plan.hosts.is_empty() || serves(plan, host());
        let plan = routes.iter().find(serves)?;
        Some(Matched { plan, params })
    }

    pub(crate) fn routes(&self) -> &[Arc<RoutePlan>] {
        &self.routes
    }

    pub(crate) fn limits(&self) -> &[LimitPlan] {
        &self.limits
    }

    #[cfg(test)]
    pub(crate) fn ttl_of_entity(&self, entity: &str) -> Duration {
        self.entities.ttl(entity).min(self.max_ttl)
    }

    /// What `[version]` says of an entity; 0 is none.
    pub(crate) fn version_of_entity(&self, entity: &str) -> u64 {
        self.entities.version(entity)
    }

    /// The entity of an application's key, and its TTL.
    pub(crate) fn ttl_for_raw_key<'a>(&'a self, key: &'a str) -> (&'a str, Duration) {
        let ttl = self.entities.ttl_of_key(key).min(self.max_ttl);
        (self.entities.of_key(key), ttl)
    }

    /// The entities whose values are bare JSON, unfenced.
    pub(crate) fn plain(&self) -> &[Box<str>] {
        &self.plain
    }

    /// Whether the values of an entity are bare JSON, unfenced.
    pub(crate) fn is_plain(&self, entity: &str) -> bool {
        self.plain.iter().any(|plain| {
            entity
                .strip_prefix(&**plain)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        })
    }

    fn without_routes(fields: &Fields, problems: &mut Vec<Problem>) -> Self {
        let ttl = &fields.ttl;
        globals::check(fields, problems);
        Self {
            router: Router::default(),
            slots: Vec::new(),
            routes: Vec::new(),
            limits: Vec::new(),
            entities: globals::entities(fields),
            unlisted: fields.unlisted,
            rate_limit: fields.rate_limit,
            namespace: fields.namespace.as_str().into(),
            max_ttl: ttl.max,
            jitter: if ttl.jitter.is_finite() {
                ttl.jitter.clamp(0.0, 1.0)
            } else {
                0.0
            },
            local_size: fields.local.size,
            deadline: fields.store.deadline,
            max_lag: fields.store.max_lag,
            identity: globals::identity(&fields.identity, problems),
            plain: fields
                .values
                .plain
                .iter()
                .map(|entity| entity.as_str().into())
                .collect(),
        }
    }

    fn add_routes(&mut self, fields: &Fields, problems: &mut Vec<Problem>) {
        let mut by_shape: HashMap<String, usize> = HashMap::new();
        for (index, route) in fields.routes.iter().enumerate() {
            let added = Shape::parse(&route.path)
                .map_err(|m| ("path", m))
                .and_then(|shape| {
                    let plan =
                        build::route(index, route, &shape, &mut self.entities, self.max_ttl)?;
                    self.add_route(plan, shape.canonical, &mut by_shape)
                });
            if let Err((field, message)) = added {
                let at = At::Item {
                    list: "route",
                    index,
                    label: route.path.clone(),
                    field,
                };
                problems.push(Problem::new(at, message));
            }
        }
        self.router.add_shortcuts(&by_shape);
    }

    fn add_route(
        &mut self,
        plan: RoutePlan,
        shape: String,
        by_shape: &mut HashMap<String, usize>,
    ) -> Result<(), (&'static str, String)> {
        let slot = match by_shape.get(&shape) {
            Some(slot) => *slot,
            None => {
                let slot = self.slots.len();
                self.router
                    .insert(&shape, slot)
                    .map_err(|error| ("path", path::refusal(&plan.path, &error)))?;
                self.slots.push(Vec::new());
                by_shape.insert(shape, slot);
                slot
            }
        };
        if let Some(other) = self.slots[slot].iter().find(|other| overlaps(other, &plan)) {
            return Err((
                "path",
                format!(
                    "the route {:?} serves this path already; make them one, or give them different hosts",
                    other.path
                ),
            ));
        }
        let plan = Arc::new(plan);
        self.routes.push(Arc::clone(&plan));
        let at = if plan.hosts.is_empty() {
            self.slots[slot].len()
        } else {
            0
        };
        self.slots[slot].insert(at, plan);
        Ok(())
    }

    fn add_limits(&mut self, fields: &Fields, problems: &mut Vec<Problem>) {
        for (index, limit) in fields.limits.iter().enumerate() {
            match LimitPlan::compile(limit) {
                Ok(plan) => self.limits.push(plan),
                Err((field, message)) => {
                    let at = At::Item {
                        list: "limit",
                        index,
                        label: limit.name.clone(),
                        field,
                    };
                    problems.push(Problem::new(at, message));
                }
            }
        }
    }
}

/// Whether a route that names hosts serves an authority: RFC 9110 section 4.2.3.
fn serves(plan: &RoutePlan, host: Option<&str>) -> bool {
    host.map(without_default_port).is_some_and(|host| {
        plan.hosts
            .iter()
            .any(|named| named.eq_ignore_ascii_case(host))
    })
}

fn overlaps(a: &RoutePlan, b: &RoutePlan) -> bool {
    match (a.hosts.is_empty(), b.hosts.is_empty()) {
        (true, true) => true,
        (false, false) => a.hosts.iter().any(|host| b.hosts.contains(host)),
        _ => false,
    }
}

use std::{collections::HashMap, sync::Arc};

use super::{
    path,
    route::RoutePlan,
    router::{Params, Router},
};
use crate::table::problem::FieldProblem;

/// All routes, by path and host.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    router: Router,
    /// The slot of each path, by its shape.
    slots: HashMap<String, usize>,
    /// By slot: the routes of one path, those that name hosts first.
    by_slot: Vec<Vec<Arc<RoutePlan>>>,
    /// In the order of the table.
    pub(super) all: Vec<Arc<RoutePlan>>,
}

impl RouteTable {
    /// Finds the route that serves a path, and the positions of the path's parameters. Calls `host`
    /// only if routes of this path name hosts.
    #[inline]
    pub(super) fn find<'h>(
        &self,
        path: &str,
        host: impl Fn() -> Option<&'h str>,
    ) -> Option<(&Arc<RoutePlan>, Params)> {
        let (slot, params) = self.router.at(path)?;
        let mut routes = self.by_slot.get(slot)?.iter();
        let serves = |plan: &&Arc<RoutePlan>| plan.hosts.is_empty() || plan.names_host(host());
        Some((routes.find(serves)?, params))
    }

    /// All routes of a path, those that name hosts first, and the positions of the path's parameters.
    pub(super) fn all_of(&self, path: &str) -> Option<(&[Arc<RoutePlan>], Params)> {
        let (slot, params) = self.router.at(path)?;
        Some((self.by_slot.get(slot)?, params))
    }

    /// Whether the routes of `other` are found, and are not those of `path`.
    pub(super) fn are_found_elsewhere(&self, path: &str, other: &str) -> bool {
        let slot = |path| self.router.at(path).map(|(slot, _)| slot);
        slot(other).is_some_and(|found| slot(path) != Some(found))
    }

    pub(super) fn add(&mut self, plan: RoutePlan, shape: String) -> Result<(), FieldProblem> {
        let slot = self.slot(&plan, shape)?;
        let same_path = &mut self.by_slot[slot];
        if let Some(other) = same_path.iter().find(|other| other.overlaps(&plan)) {
            let message = format!(
                "the route {:?} serves this path already; merge them, or give them different hosts",
                other.path
            );
            return Err(("path", message));
        }
        let plan = Arc::new(plan);
        self.all.push(Arc::clone(&plan));
        let at = if plan.hosts.is_empty() {
            same_path.len()
        } else {
            0
        };
        same_path.insert(at, plan);
        Ok(())
    }

    /// Completes the table; call it after all routes are added.
    pub(super) fn finish(&mut self) {
        self.router.add_shortcuts(&self.slots);
    }

    fn slot(&mut self, plan: &RoutePlan, shape: String) -> Result<usize, FieldProblem> {
        if let Some(slot) = self.slots.get(&shape) {
            return Ok(*slot);
        }
        let slot = self.by_slot.len();
        self.router
            .insert(&shape, slot)
            .map_err(|error| ("path", path::refusal(&plan.path, &error)))?;
        self.by_slot.push(Vec::new());
        self.slots.insert(shape, slot);
        Ok(slot)
    }
}

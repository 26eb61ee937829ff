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
    /// The position in `by_slot` of each path, by its shape.
    slots: HashMap<String, usize>,
    /// By slot: the routes of one path.
    by_slot: Vec<Vec<Arc<RoutePlan>>>,
    /// In the order of the table.
    pub(super) all: Vec<Arc<RoutePlan>>,
}

impl RouteTable {
    /// All routes of a path, and the positions of the path's parameters.
    #[inline]
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
        same_path.push(plan);
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

/// Of the routes of one path, the one whose hosts name this host most specifically.
pub(super) fn most_specific<'p>(
    routes: &'p [Arc<RoutePlan>],
    host: Option<&str>,
) -> Option<&'p Arc<RoutePlan>> {
    let ranked = routes
        .iter()
        .filter_map(|route| Some((route.host_rank(host)?, route)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, route)| route)
}

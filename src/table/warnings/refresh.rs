//! Finds refreshes ahead of the end of freshness that would happen at each hit.

use std::time::Duration;

use crate::table::{
    plan::{Plan, RoutePlan},
    problem::{FieldProblem, TableProblem},
    quantities,
    settings::Settings,
};

/// Reports routes whose `refresh_ahead` is as long as the TTL that jitter may leave: such a response is
/// due for a refresh from the first hit on.
pub(super) fn problems(settings: &Settings, plan: &Plan) -> Vec<TableProblem> {
    let routes = plan.routes().iter();
    let found = routes.filter_map(|route| {
        let written = settings.routes.get(route.id)?;
        let problem = of_route(route, plan.jitter)?;
        Some(TableProblem::in_route(route.id, written, problem))
    });
    found.collect()
}

fn of_route(route: &RoutePlan, jitter: f64) -> Option<FieldProblem> {
    let (ahead, ttl) = (route.refresh_ahead?, route.ttl?);
    let shortest = ttl.as_secs_f64() * (1.0 - jitter);
    let shortest = Duration::try_from_secs_f64(shortest).unwrap_or(ttl);
    if ahead < shortest {
        return None;
    }
    let [ahead, ttl, least] = [ahead, ttl, shortest].map(quantities::text);
    let remedy = match shortest.as_millis() {
        0 => "write a smaller jitter".to_owned(),
        _ => format!("write less than {least}, or a smaller jitter"),
    };
    let message = format!(
        "[ttl] jitter may leave {least} of the TTL of {ttl}, so that with {ahead} such a response is refreshed at each hit; {remedy}"
    );
    Some(("refresh_ahead", message))
}

//! The compiled table, in which each request is looked up without locks.

mod build;
mod entities;
mod fields;
mod globals;
mod keyed;
pub(crate) mod limit;
mod path;
mod placeholder;
mod query;
mod route;
mod route_match;
mod route_table;
mod router;
mod table;
mod template;
pub(super) mod value_source;

pub(crate) use limit::LimitPlan;
pub(crate) use route::RoutePlan;
pub(crate) use route_match::RouteMatch;
pub(crate) use table::Plan;

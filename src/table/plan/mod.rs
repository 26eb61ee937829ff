//! The compiled table. It is immutable, so lookups take no locks.

mod behind;
mod behind_route;
mod build;
mod entities;
mod fields;
mod globals;
mod hosts;
mod key_inputs;
pub(crate) mod limit;
mod path;
mod placeholder;
#[allow(clippy::module_inception)]
mod plan;
mod query;
mod route;
mod route_match;
mod route_table;
mod router;
mod template;
mod unkeyed_values;
pub(super) mod value;
pub(super) mod value_source;

pub(crate) use behind::BehindPlan;
pub(crate) use limit::LimitPlan;
pub(crate) use plan::{NoRoute, Plan};
pub(crate) use route::{DEFAULT_MAX_BODY, RoutePlan};
pub(crate) use route_match::{MissingValue, RouteMatch};
pub(crate) use value_source::KeyError;

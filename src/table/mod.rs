//! The configuration: TTLs by entity, routes, limits and identity, from TOML, serde or code.
//!
//! An invalid table is an error: [`Table::load`], [`Keep::new`](crate::Keep::new) and
//! [`Keep::reload`](crate::Keep::reload) return it, and its message says what to write instead.
//! Settings that are valid but probably not intended are warnings: a keep logs them when it takes
//! the table, and [`Table::check`] lists them.
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{Table, table::{Route, Scope, mins}};
//!
//! let in_code = Table::new()
//!     .host(["api.example.com"])
//!     .ttl("engagement", mins(30))
//!     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public));
//!
//! let in_toml: Table = r#"
//!     host = ["api.example.com"]
//!
//!     [ttl]
//!     engagement = "30m"
//!
//!     [[route]]
//!     path = "/engagements/{id}"
//!     key = "engagement:{id}"
//!     scope = "public"
//! "#
//! .parse()?;
//!
//! assert_eq!(in_code, in_toml);
//! assert!(in_toml.check().is_empty());
//! # Ok::<(), tower_keep::Error>(())
//! ```

mod behind;
mod config;
mod limit;
mod load;
mod nearest;
mod one_or_many;
mod plan;
mod problem;
mod quantities;
mod remedy;
mod route;
mod route_options;
mod section;
mod settings;
mod ttl;
mod value_settings;
mod warnings;

pub use crate::quota::Algorithm;
pub use behind::{AfterDead, Behind};
pub use config::Table;
pub use limit::{By, Cost, Limit, OnError, RateLimiting};
pub use one_or_many::OneOrMany;
pub use quantities::{days, hours, mins, secs};
pub use route::Route;
pub use route_options::{Grpc, PendingMode, RequestDirectives, Scope, Through, Write};
pub use section::{Identity, Local, Store};
pub use settings::Unlisted;
pub use value_settings::ValueSettings;
pub use warnings::Warning;

pub(crate) use plan::BehindPlan;
pub(crate) use plan::{
    DEFAULT_MAX_BODY, KeyError, LimitPlan, MissingValue, NoRoute, Plan, RouteMatch, RoutePlan,
    limit as limit_plan,
};

#[cfg(test)]
mod tests;

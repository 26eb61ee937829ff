//! The table: TTLs by entity, routes, limits and identity, from TOML, serde or code.
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{Table, table::{Route, Scope, mins}};
//!
//! let in_code = Table::new()
//!     .ttl("engagement", mins(30))
//!     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public));
//!
//! let in_toml: Table = r#"
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

mod check;
mod config;
mod effect;
mod limit;
mod load;
mod nearest;
mod plan;
mod problem;
mod remedy;
mod route;
mod section;
mod ttl;
mod unit;

pub use crate::quota::Algorithm;
pub use check::Warning;
pub use config::{Table, Unlisted};
pub use limit::{By, Cost, Limit, OnError, RateLimiting};
pub use route::{Grpc, RequestDirectives, Route, Scope, Through, Write};
pub use section::{Identity, Local, Store};
pub use unit::{days, hours, mins, secs};

#[allow(unused_imports)]
pub(crate) use plan::{Bypass, LimitPlan, Matched, Plan, RoutePlan, limit as limit_plan};

#[cfg(test)]
mod tests;

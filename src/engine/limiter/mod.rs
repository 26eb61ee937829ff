//! The counters of a keep's limits: those of the shared store, if there is one, and those of this
//! process.

#[allow(clippy::module_inception)]
mod limiter;
mod metrics;
mod refusals;

pub(crate) use limiter::Limiter;
pub(crate) use metrics::LimitEvent;

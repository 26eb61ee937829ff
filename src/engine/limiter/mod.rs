//! Decides a keep's rate limits in the shared store, if there is one, or in this process.

#[allow(clippy::module_inception)]
mod limiter;
mod metrics;
mod refusals;

pub(crate) use limiter::Limiter;
pub(crate) use metrics::LimitEvent;

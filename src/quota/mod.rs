//! Quotas and their algorithms: the amount that a subject may use, and the change of its state by a
//! decision.
//!
//! Plain functions of integers (microseconds, quota units): no I/O, no clock. The memory store calls
//! them to decide; the tests of the Redis script compare its decisions with those of this module.

mod admission;
mod algorithm_state;
mod decision;
mod fixed_window;
mod gcra;
mod math;
mod policy;
mod problem;
#[allow(clippy::module_inception)]
mod quota;
mod sliding_window;
mod state;

pub use quota::{Algorithm, Quota};

pub(crate) use admission::{ADMISSION_SIZE, Admission};
pub(crate) use algorithm_state::QuotaOutcome;
pub(crate) use decision::{Charge, CombinedDecision, RuleDecision};
pub(crate) use fixed_window::FixedWindowState;
pub(crate) use gcra::{GcraState, emission_time};
pub(crate) use policy::QuotaPolicy;
pub(crate) use problem::{ProblemType, problem_details};
pub(crate) use quota::{MAX_LIMIT, MAX_WINDOW};
pub(crate) use sliding_window::SlidingWindowState;
pub(crate) use state::QuotaState;

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod tests;

//! The store in one process.

pub(crate) mod counters;
#[cfg(test)]
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod limits;
pub(crate) mod queue;

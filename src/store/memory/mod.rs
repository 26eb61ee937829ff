//! The store of one process.

pub(crate) mod counters;
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod limits;

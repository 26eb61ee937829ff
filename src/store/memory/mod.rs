//! The store of one process.

pub(crate) mod entries;
pub(crate) mod limits;

//! The store of one process.

pub(crate) mod limits;

//! Layers keep the type of the request body: other middleware stands between them and inside them,
//! and handlers take the bodies that their framework gives them.

mod axum;
mod content;
mod hyper;
#[cfg(feature = "tonic")]
mod tonic;

use tower_keep::{Limit, Table, table::mins};

use crate::common::keeps::engagements;

/// A table that gives each of the three layers something to do.
fn table() -> Table {
    engagements().limit(Limit::new("all", 1_000, mins(1)))
}

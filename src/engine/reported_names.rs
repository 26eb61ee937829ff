use std::{collections::HashSet, sync::Mutex};

use crate::error::ignore_poison;

/// The names of the table for which something has been logged, so that it is logged once for each.
#[derive(Debug, Default)]
pub(crate) struct ReportedNames(Mutex<HashSet<Box<str>>>);

impl ReportedNames {
    /// Adds a name; returns false if it was there already.
    pub(crate) fn insert(&self, name: &str) -> bool {
        ignore_poison(self.0.lock()).insert(name.into())
    }
}

//! `--table FILE`: what a keep is made of.

use std::path::PathBuf;

use tower_keep::{Keep, Table};

use super::{Failure, Flags, failure::with_causes};

/// What a keep is made of.
#[derive(Debug)]
pub(crate) struct KeepFlags {
    table: Table,
}

impl Flags {
    /// The table of `--table FILE`, or else `table`.
    pub(crate) fn keep(&mut self, table: Table) -> Result<KeepFlags, Failure> {
        let table = match self.optional::<PathBuf>("--table")? {
            Some(file) => Table::load(file).map_err(at_fault)?,
            None => table,
        };
        for warning in table.check() {
            tracing::warn!("the table: {warning}");
        }
        Ok(KeepFlags { table })
    }
}

impl KeepFlags {
    pub(crate) async fn open(self) -> Result<Keep, Failure> {
        Ok(Keep::new(self.table))
    }
}

fn at_fault(error: tower_keep::Error) -> Failure {
    Failure::usage(with_causes(&error))
}

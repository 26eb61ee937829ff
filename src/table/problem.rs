//! Errors and warnings about a table, with their place in it.

use std::fmt;

use super::{limit::Limit, route::Route, value_settings::ValueSettings};
use crate::error::Error;

/// A field of a route, value or limit, and what is wrong with it.
pub(super) type FieldProblem = (&'static str, String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableProblem {
    pub(super) location: Location,
    pub(super) message: String,
}

impl TableProblem {
    pub(super) fn new(location: Location, message: impl Into<String>) -> Self {
        Self {
            location,
            message: message.into(),
        }
    }

    /// `index` counts the table's routes from 0.
    pub(super) fn in_route(index: usize, route: &Route, (field, message): FieldProblem) -> Self {
        Self::in_item("route", index, &route.path, field, message)
    }

    /// `index` counts the table's values from 0.
    pub(super) fn in_value(
        index: usize,
        value: &ValueSettings,
        (field, message): FieldProblem,
    ) -> Self {
        Self::in_item("value", index, &value.key, field, message)
    }

    /// `index` counts the table's limits from 0.
    pub(super) fn in_limit(index: usize, limit: &Limit, (field, message): FieldProblem) -> Self {
        Self::in_item("limit", index, &limit.name, field, message)
    }

    fn in_item(
        list: &'static str,
        index: usize,
        label: &str,
        field: &'static str,
        message: String,
    ) -> Self {
        let label = label.to_owned();
        Self::new(
            Location::Item {
                list,
                index,
                label,
                field,
            },
            message,
        )
    }
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

impl From<TableProblem> for Error {
    fn from(problem: TableProblem) -> Self {
        Self::config(problem.to_string())
    }
}

/// A place in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A name outside all sections.
    Top(&'static str),
    /// `[section] name`
    Section(&'static str, String),
    /// A field of `[[route]]`, `[[value]]` or `[[limit]]`; the label is its path, key or name.
    Item {
        list: &'static str,
        index: usize,
        label: String,
        field: &'static str,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(name) => f.write_str(name),
            Self::Section(section, name) => write!(f, "[{section}] {name}"),
            Self::Item {
                list, label, field, ..
            } => write!(f, "{list} {label:?}, {field}"),
        }
    }
}

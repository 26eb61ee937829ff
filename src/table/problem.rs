//! What is wrong in a table, and where.

use std::fmt;

use crate::error::Error;

/// Where in the table: the names and positions that lead there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// `[section] name`
    Section(&'static str, String),
    /// `[[route]]` or `[[limit]]` number so-and-so, counted from 0; what it is called; its field.
    Item {
        list: &'static str,
        index: usize,
        label: String,
        field: &'static str,
    },
    /// A name at the top.
    Top(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: At,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(at: At, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(section, name) => write!(f, "[{section}] {name}"),
            Self::Item {
                list, label, field, ..
            } => write!(f, "{list} {label:?}, {field}"),
            Self::Top(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::config(problem.to_string())
    }
}

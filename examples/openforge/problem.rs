//! Error responses, as problem details (RFC 9457).

use http::{StatusCode, header};
use rusqlite::ErrorCode;
use serde_json::json;

use crate::reply::Reply;

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"))
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let title = problem.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": problem.status.as_u16(),
            "detail": problem.detail,
        });
        Self::json(problem.status, &body).with(header::CONTENT_TYPE, "application/problem+json")
    }
}

/// A violated constraint is the client's mistake; any other database error is the server's.
impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        let Some(ErrorCode::ConstraintViolation) = error.sqlite_error_code() else {
            tracing::error!(%error, "the database failed");
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the database failed");
        };
        match error.sqlite_error().map(|error| error.extended_code) {
            Some(
                rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
            ) => Self::conflict(error.to_string()),
            _ => Self::unprocessable(error.to_string()),
        }
    }
}

//! A request, as the handlers see it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{header, request};
use serde_json::{Map, Value};

use crate::{problem::Problem, reply::entity_tag};

/// The parts of a request that handlers use.
#[derive(Debug)]
pub(crate) struct Call {
    head: request::Parts,
    path: BTreeMap<String, String>,
    body: Bytes,
}

impl Call {
    /// `path` holds the values of the route's placeholders.
    pub(crate) fn new(head: request::Parts, path: BTreeMap<String, String>, body: Bytes) -> Self {
        Self { head, path, body }
    }

    /// The path as received.
    pub(crate) fn target(&self) -> &str {
        self.head.uri.path()
    }

    /// The value of a placeholder in the route's path.
    pub(crate) fn path(&self, name: &str) -> Option<&str> {
        self.path.get(name).map(String::as_str)
    }

    /// A query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.head.uri.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| decode(&value.replace('+', " ")))
        })
    }

    /// A query parameter that is a whole number, or `default`.
    pub(crate) fn number(&self, name: &str, default: u32) -> Result<u32, Problem> {
        let Some(given) = self.query(name) else {
            return Ok(default);
        };
        given
            .parse()
            .map_err(|_| Problem::bad_request(format!("{name} is not a whole number: {given}")))
    }

    /// The user, as identified by the gateway in front of this server.
    pub(crate) fn user(&self) -> Option<&str> {
        self.field("x-user-id")
    }

    /// The `Idempotency-Key`, without the quotation marks of a structured field.
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        Some(self.field("idempotency-key")?.trim_matches('"'))
    }

    /// The JSON object in the body.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Problem> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Problem::unprocessable("the body is not a JSON object")),
            Err(error) => Err(Problem::bad_request(format!(
                "the body is not JSON: {error}"
            ))),
        }
    }

    /// The member `name` of the JSON object in the body, which must be a string.
    pub(crate) fn text(&self, name: &str) -> Result<String, Problem> {
        match self.object()?.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(Problem::unprocessable(format!(
                "{name} is missing, or is not a text"
            ))),
        }
    }

    /// Refuses a write whose `If-Match` names another version than `current` (RFC 9110, 13.1.1).
    pub(crate) fn check_if_match(&self, current: &Value) -> Result<(), Problem> {
        let Some(wanted) = self.field(header::IF_MATCH.as_str()) else {
            return Ok(());
        };
        let tag = entity_tag(current);
        if wanted.trim() == "*" || wanted.split(',').any(|one| one.trim() == tag) {
            return Ok(());
        }
        Err(Problem::new(
            http::StatusCode::PRECONDITION_FAILED,
            "it has changed since you read it",
        ))
    }

    /// Whether the client already has the version with this entity tag (RFC 9110, 13.1.2).
    pub(crate) fn holds(&self, tag: &str) -> bool {
        let held = self.field(header::IF_NONE_MATCH.as_str());
        let same = |one: &str| one.trim().trim_start_matches("W/") == tag;
        held.is_some_and(|held| held.trim() == "*" || held.split(',').any(same))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// Decodes percent-encoding. Invalid UTF-8 becomes U+FFFD, which matches no row.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let encoded = (*first == b'%')
            .then(|| tail.get(..2).and_then(hexadecimal))
            .flatten();
        bytes.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    let well_formed = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    well_formed
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

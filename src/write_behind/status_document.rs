//! The status of a write as JSON.

use std::{collections::BTreeMap, str};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;

use super::rfc3339;
use crate::{
    engine::acceptance::stored_write,
    store::contracts::queue::StoredStatus,
    write_queue::{WriteId, WriteState, answer::QueuedAnswer},
};

/// The JSON text of a status.
pub(super) fn of(id: WriteId, stored: &StoredStatus) -> Bytes {
    let answer = stored_write::answer(stored);
    let document = StatusDocument {
        id: id.to_string(),
        state: stored.state.as_str(),
        accepted: rfc3339::format(stored.accepted),
        attempts: stored.attempts,
        next_attempt: stored.next_attempt.map(rfc3339::format),
        ended: stored.ended.map(rfc3339::format),
        reason: stored.reason.as_deref(),
        superseded_by: match stored.state {
            WriteState::Superseded(by) => Some(by.to_string()),
            _ => None,
        },
        response: answer.as_ref().map(AnswerDocument::of),
    };
    let json = serde_json::to_vec(&document).expect("strings and numbers are valid JSON");
    json.into()
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    id: String,
    state: &'static str,
    accepted: String,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<AnswerDocument<'a>>,
}

#[derive(Serialize)]
struct AnswerDocument<'a> {
    status: u16,
    /// The lines of each field.
    headers: BTreeMap<&'a str, Vec<String>>,
    /// The body, if it is text in UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// The body otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// Whether the body was longer.
    body_is_cut: bool,
}

impl<'a> AnswerDocument<'a> {
    fn of(answer: &'a QueuedAnswer) -> Self {
        let body = str::from_utf8(&answer.body).ok();
        Self {
            status: answer.status.as_u16(),
            headers: lines(&answer.headers),
            body_base64: body.is_none().then(|| BASE64_STANDARD.encode(&answer.body)),
            body,
            body_is_cut: answer.is_cut,
        }
    }
}

fn lines(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        fields.entry(name.as_str()).or_default().push(value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode, header::SET_COOKIE};
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Timestamp;

    fn stored(state: WriteState, body: &'static [u8]) -> StoredStatus {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("a=1"));
        headers.append(SET_COOKIE, HeaderValue::from_static("b=2"));
        let answer = QueuedAnswer {
            status: StatusCode::CREATED,
            headers,
            body: Bytes::from_static(body),
            is_cut: false,
        };
        StoredStatus {
            state,
            key: "agent:7".into(),
            user: None,
            accepted: Timestamp(1_000),
            attempts: 2,
            next_attempt: None,
            ended: Some(Timestamp(2_500)),
            reason: None,
            answer: Some(answer.encode()),
            request: None,
        }
    }

    fn document(stored: &StoredStatus) -> Value {
        let id = "0123456789abcdef0123456789abcdef".parse().expect("an id");
        serde_json::from_slice(&of(id, stored)).expect("JSON")
    }

    #[test]
    fn a_status_has_times_and_the_answer() {
        let expected = json!({
            "id": "0123456789abcdef0123456789abcdef",
            "state": "done",
            "accepted": "1970-01-01T00:00:01.000Z",
            "attempts": 2,
            "ended": "1970-01-01T00:00:02.500Z",
            "response": {
                "status": 201,
                "headers": { "set-cookie": ["a=1", "b=2"] },
                "body": "{}",
                "body_is_cut": false,
            },
        });
        assert_eq!(document(&stored(WriteState::Done, b"{}")), expected);
    }

    #[test]
    fn a_body_that_is_not_text_is_in_base64() {
        let document = document(&stored(WriteState::Dead, b"\xff\x00"));
        assert_eq!(document["response"]["body_base64"], "/wA=");
        assert_eq!(document["response"].get("body"), None);
    }

    #[test]
    fn a_write_that_has_not_ended_or_was_damaged_shows_no_answer() {
        let waiting = document(&stored(WriteState::Waiting, b"{}"));
        assert_eq!(waiting.get("response"), None);
        let damaged = StoredStatus {
            answer: Some(Bytes::from_static(b"TKQ?")),
            ..stored(WriteState::Done, b"")
        };
        assert_eq!(document(&damaged).get("response"), None);
    }

    #[test]
    fn a_superseded_write_names_its_successor() {
        let by = "00000000000000000000000000000001".parse().expect("an id");
        let document = document(&stored(WriteState::Superseded(by), b""));
        assert_eq!(document["state"], "superseded");
        assert_eq!(document["superseded_by"], by.to_string());
    }
}

//! The response to an accepted write.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde::Serialize;

use super::final_answer;
use crate::{
    engine::{acceptance::accept::AcceptedWrite, core::Engine},
    message::response_body::ResponseBody,
    semantics::prefer::{PREFERENCE_APPLIED, WaitPreference},
    write_queue::WriteState,
};

/// The longest time for which a request waits for its answer, whatever it prefers.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Answers with the service's answer if the write has ended or ends within the time that the client
/// prefers to wait, otherwise with 202 and where its status is.
pub(super) async fn respond<R>(
    engine: &Engine,
    status_path: &str,
    mut accepted: AcceptedWrite,
    preference: WaitPreference,
) -> Response<ResponseBody<R>> {
    let wait = preference.wait.unwrap_or_default();
    let mut answer = None;
    if accepted.state.has_ended() || !wait.is_zero() {
        let end = final_answer::wait_for(engine, accepted, wait).await;
        (accepted.state, answer) = (end.state, end.answer);
    }
    let answers_async = answer.is_none();
    let mut response = match answer {
        Some(answer) => answer.into_response(),
        None => accepted_response(status_path, accepted),
    };
    if let Some(applied) = preference.applied(answers_async) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response.map(ResponseBody::full)
}

fn accepted_response(status_path: &str, accepted: AcceptedWrite) -> Response<Bytes> {
    let id = accepted.id.to_string();
    let body = AcceptedBody {
        id: &id,
        state: accepted.state.as_str(),
        superseded_by: match accepted.state {
            WriteState::Superseded(by) => Some(by.to_string()),
            _ => None,
        },
    };
    let body = serde_json::to_vec(&body).expect("strings are valid JSON");
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    // The table allows only a path in `status_path`.
    if let Ok(location) = HeaderValue::try_from(format!("{status_path}/{id}")) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !accepted.state.has_ended() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[derive(Serialize)]
struct AcceptedBody<'a> {
    id: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
}

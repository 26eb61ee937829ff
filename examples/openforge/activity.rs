//! The activities of agents: writes that are answered with 202 at once, and applied by a worker.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::Value;

use crate::{
    call::Call, database::Statements, problem::Problem, reply::Reply, resources::ACTIVITY,
};

/// Refuses an activity that could not be applied later, before it is accepted. So everybody may see the
/// accepted ones at once.
pub(crate) async fn validate(request: Request<Bytes>) -> Result<(), Response<String>> {
    match problem_of(request.body()) {
        None => Ok(()),
        Some(problem) => {
            let mut response = Response::new(problem.to_owned());
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Err(response)
        }
    }
}

fn problem_of(body: &[u8]) -> Option<&'static str> {
    let Ok(Value::Object(activity)) = serde_json::from_slice(body) else {
        return Some("the body is not a JSON object");
    };
    let is_text = |name: &str| activity.get(name).is_some_and(Value::is_string);
    let is_known = |name: &String| ["id", "kind", "message"].contains(&name.as_str());
    if !is_text("kind") || !is_text("message") {
        Some("kind or message is missing, or is not a text")
    } else if !activity.keys().all(is_known) || activity.get("id").is_some_and(|id| !id.is_string())
    {
        Some("an activity has the texts id, kind and message only")
    } else {
        None
    }
}

/// `POST` of an activity. A write that is applied again creates no second row: its id is that of the
/// activity, or its `Idempotency-Key`, which is the same in every attempt.
pub(crate) fn log(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let mut activity = call.object()?;
    if !activity.contains_key("id")
        && let Some(id) = call.idempotency_key()
    {
        activity.insert("id".into(), id.into());
    }
    ACTIVITY.create_once(db, call, activity)
}

//! What agents have done. These writes are accepted at once, and applied by a worker.

use http::{StatusCode, request};
use serde_json::Value;

use crate::{
    call::Call, database::Statements, problem::Problem, reply::Reply, resources::ACTIVITY,
};

/// Refuses an activity that could not be applied later, before it is accepted. So everybody may see the
/// accepted ones at once.
pub(crate) fn validate(_: &request::Parts, body: &[u8]) -> Result<(), (StatusCode, String)> {
    let refuse = |reason: &str| Err((StatusCode::UNPROCESSABLE_ENTITY, reason.to_owned()));
    let Ok(Value::Object(activity)) = serde_json::from_slice(body) else {
        return refuse("the body is not a JSON object");
    };
    let is_text = |name: &str| activity.get(name).is_some_and(Value::is_string);
    if !is_text("kind") || !is_text("message") {
        return refuse("kind or message is missing, or is not a text");
    }
    let is_known = |name: &String| ["id", "kind", "message"].contains(&name.as_str());
    if activity.keys().all(is_known) {
        Ok(())
    } else {
        refuse("an activity has id, kind and message only")
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

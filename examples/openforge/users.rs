//! Resources that depend on the user: preferences and sessions.

use http::StatusCode;

use crate::{call::Call, database::Statements, problem::Problem, reply::Reply, resources};

/// `GET /users/{id}/preferences`. Only the user sees the member `notifications`.
pub(crate) fn preferences(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let mut found = resources::PREFERENCES.row(db, call)?;
    if let (true, Some(members)) = (is_another_user(call), found.as_object_mut()) {
        members.remove("notifications");
    }
    Ok(Reply::ok(&found))
}

/// `PUT /users/{id}/preferences`, by the user.
pub(crate) fn set_preferences(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    if is_another_user(call) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "only the user may change them",
        ));
    }
    resources::PREFERENCES.update(db, call)
}

/// `POST /sessions` with `{"user_id": …}`.
pub(crate) fn log_in(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let user = call.text("user_id")?;
    let session = db.one(
        "INSERT INTO sessions (user_id) VALUES (?)
         RETURNING json_object('token', token, 'user_id', user_id, 'expires_at', expires_at)",
        [user],
    )?;
    let session = session.unwrap_or_default();
    let location = format!(
        "/sessions/{}",
        session["token"].as_str().unwrap_or_default()
    );
    Ok(Reply::created(&session, &location))
}

/// `GET /sessions/{token}`: the user of a session token.
pub(crate) fn session(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    let found = db.one(
        "SELECT json_object('user_id', user_id, 'org_id', org_id, 'expires_at', expires_at)
         FROM sessions JOIN users ON users.id = user_id
         WHERE token = ? AND expires_at > strftime('%Y-%m-%dT%H:%M:%fZ')",
        [call.path("token")],
    )?;
    Ok(Reply::ok(
        &found.ok_or_else(|| Problem::not_found("session"))?,
    ))
}

/// `DELETE /sessions/{token}`.
pub(crate) fn log_out(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    match db.change("DELETE FROM sessions WHERE token = ?", [call.path("token")])? {
        0 => Err(Problem::not_found("session")),
        _ => Ok(Reply::empty(StatusCode::NO_CONTENT)),
    }
}

/// `GET /users/{id}/session`: the token of a user's latest session, for the user alone.
pub(crate) fn latest_session(db: &Statements<'_>, call: &Call) -> Result<Reply, Problem> {
    if call.user() != call.path("id") {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "only the user may see it",
        ));
    }
    let found = db.one(
        "SELECT json_object('user_id', user_id, 'token', token, 'expires_at', expires_at)
         FROM sessions WHERE user_id = ? AND expires_at > strftime('%Y-%m-%dT%H:%M:%fZ')
         ORDER BY rowid DESC LIMIT 1",
        [call.path("id")],
    )?;
    Ok(Reply::ok(
        &found.ok_or_else(|| Problem::not_found("session"))?,
    ))
}

/// Whether the request comes from another user than the one in the path. Internal programs send no user.
fn is_another_user(call: &Call) -> bool {
    call.user()
        .is_some_and(|user| Some(user) != call.path("id"))
}

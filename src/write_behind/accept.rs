//! Accepting a write: content, validation, queue, response.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, request};

use super::{accepted_response, config::Config, content, problem};
use crate::{
    engine::{
        acceptance::{
            accept::{self, AcceptedWrite, OfferedWrite},
            not_accepted::NotAccepted,
        },
        snapshot::Snapshot,
    },
    message::{replayable_body::ReplayableBody, response_body::ResponseBody},
    semantics::{idempotency_key, prefer::WaitPreference},
};

/// Puts the write into the queue and answers: with 202, with the service's answer if the client waits for
/// it and it comes in time, or with the reason why the write was not accepted.
pub(super) async fn respond<B: ReplayableBody, R>(
    config: Arc<Config>,
    snapshot: Arc<Snapshot>,
    parts: request::Parts,
    body: B,
) -> Response<ResponseBody<R>> {
    match put_into_queue(&config, &snapshot, &parts, body).await {
        Ok(accepted) => {
            let preference = WaitPreference::of(&parts.headers, accepted_response::LONGEST_WAIT);
            let status_path = &snapshot.plan.behind.status_path;
            accepted_response::respond(config.engine(), status_path, accepted, preference).await
        }
        Err(refusal) => refusal,
    }
}

async fn put_into_queue<B: ReplayableBody, R>(
    config: &Config,
    snapshot: &Snapshot,
    parts: &request::Parts,
    body: B,
) -> Result<AcceptedWrite, Response<ResponseBody<R>>> {
    let engine = config.engine();
    let invalid = || engine.queue_metrics.rejected_invalid.increment(1);
    let key = idempotency_key::of(&parts.headers).map_err(|malformed| {
        invalid();
        problem::malformed_key(malformed)
    })?;
    let content = content::read(engine, &snapshot.plan.behind, body);
    let content = content.await.inspect_err(|_| invalid())?;
    let is_vouched = validate(config, snapshot, parts, &content.bytes);
    let is_vouched = is_vouched.await.inspect_err(|_| invalid())?;
    let offered = OfferedWrite {
        parts,
        content: &content.bytes,
        idempotency_key: key.as_deref(),
        is_vouched,
    };
    let accepted = accept::accept(engine, snapshot, offered).await;
    accepted.map_err(|reason| {
        report(&reason);
        problem::not_accepted(&reason, key.is_some())
    })
}

/// Lets the application check the write. Returns whether it vouches for it.
async fn validate<R>(
    config: &Config,
    snapshot: &Snapshot,
    parts: &request::Parts,
    content: &Bytes,
) -> Result<bool, Response<ResponseBody<R>>> {
    let target = config.engine().target(parts);
    let matched = snapshot.plan.route(target.path, target.host);
    let path = matched.as_ref().map_or("", |matched| &matched.plan().path);
    let request = || Request::from_parts(parts.clone(), content.clone());
    let checked = config.validate(path, request).await;
    checked.map_err(|refusal| refusal.into_response().map(ResponseBody::full))?;
    Ok(config.vouches_for(path))
}

fn report(reason: &NotAccepted) {
    match reason {
        NotAccepted::Refused(error) => {
            tracing::warn!(%error, "write-behind: the store refuses a write; it is answered with 503");
        }
        NotAccepted::Unknown(error) => {
            tracing::debug!(%error, "write-behind: the store has not confirmed a write; it is answered with 503");
        }
        _ => {}
    }
}

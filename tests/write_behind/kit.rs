//! The table, the requests and the layer that the tests of accepting writes share.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tower::Layer;
use tower_keep::{
    Keep, Route, Scope, Table, WriteBehindLayer,
    table::{Behind, Write},
    write_behind::WriteBehind,
};

use crate::common::{
    client::{TestResponse, request},
    keeps::new_keep,
    origin::Origin,
};

/// `/agents/{id}/activity`, `/agents/{id}/status`, where PUTs coalesce, and `/preferences`, which each user
/// has; their writes are queued. `/engagements/{id}` has ordinary writes.
pub(super) fn table() -> Table {
    let behind = |route: Route| route.write(Write::Behind);
    Table::new()
        .behind(Behind::new().volatile(true))
        .route(behind(
            Route::new("/agents/{id}/activity").key("agent:{id}:activity"),
        ))
        .route(behind(
            Route::new("/agents/{id}/status")
                .key("agent:{id}:status")
                .coalesce(true)
                .keep_fields(["x-tenant".to_owned()]),
        ))
        .route(behind(
            Route::new("/preferences")
                .key("preferences")
                .scope(Scope::User),
        ))
        .route(Route::new("/engagements/{id}").key("engagement:{id}"))
}

/// A keep of this process alone, which queues in memory.
pub(super) fn volatile_keep() -> Keep {
    new_keep(table())
}

pub(super) fn queueing(keep: &Keep, origin: &Origin) -> WriteBehind<Origin> {
    WriteBehindLayer::new(keep).layer(origin.clone())
}

/// A service that answers every call.
pub(super) fn origin() -> Origin {
    Origin::with_fields(&[("x-origin", "yes")])
}

pub(super) fn write(
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    content: &'static str,
) -> Request<Full<Bytes>> {
    request(method, path, fields).map(|_| Full::from(content))
}

pub(super) fn post(content: &'static str) -> Request<Full<Bytes>> {
    write("POST", "/agents/7/activity", &[], content)
}

pub(super) fn json(response: &TestResponse) -> Value {
    serde_json::from_str(&response.body).expect("JSON")
}

/// The id in a 202.
pub(super) fn accepted_id(response: &TestResponse) -> String {
    assert_eq!(response.status, 202, "{response:?}");
    let id = json(response)["id"].as_str().expect("an id").to_owned();
    assert_eq!(response.headers["location"], format!("/writes/{id}"));
    id
}

/// The status and the last part of the type of problem details.
pub(super) fn problem(response: &TestResponse) -> (u16, String) {
    assert_eq!(response.headers["content-type"], "application/problem+json");
    let details = json(response);
    assert_eq!(details["status"], response.status);
    let uri = details["type"].as_str().expect("a type");
    (
        response.status,
        uri.rsplit('#').next().unwrap_or(uri).into(),
    )
}

pub(super) async fn waiting(keep: &Keep) -> u64 {
    keep.queue().counts().await.expect("counts").waiting
}

//! Which writes are accepted, what is stored, and which are refused.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Key, Table, UserId, WriteBehindLayer,
    table::{Behind, Local},
    write_behind::WriteState,
};

use super::kit::{
    accepted_id, json, origin, post, problem, queueing, table, volatile_keep, waiting, write,
};
use crate::common::{
    client::{TestResponse, advance, as_user, get, run_other_tasks, send},
    keeps::new_keep,
    log::Log,
    origin::{Gate, Origin, OriginBody, body_channel, ok_text},
};

#[tokio::test]
async fn a_write_is_accepted_without_a_call_of_the_service() {
    let (keep, origin) = (volatile_keep(), origin());
    let response = send(&queueing(&keep, &origin), post("{}")).await;
    let id = accepted_id(&response);
    assert_eq!(
        json(&response),
        serde_json::json!({ "id": id, "state": "waiting" })
    );
    for (name, value) in [
        ("retry-after", "1"),
        ("cache-control", "no-store"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(response.headers[name], value, "{name}");
    }
    assert_eq!(origin.calls(), 0);
    assert_eq!(waiting(&keep).await, 1);
}

#[tokio::test]
async fn other_requests_pass_through() {
    let table = table().host("api.example.com");
    let (keep, origin) = (new_keep(table), origin());
    let service = queueing(&keep, &origin);
    let at = |host: &'static str| [("host", host)];
    let requests = [
        write("GET", "/agents/7/activity", &at("api.example.com"), ""),
        write("OPTIONS", "/agents/7/activity", &at("api.example.com"), ""),
        write("POST", "/engagements/7", &at("api.example.com"), "{}"),
        write("POST", "/unlisted", &at("api.example.com"), "{}"),
        write("POST", "/agents/7/activity", &at("other.example.com"), "{}"),
        write(
            "POST",
            "/agents/./7/activity",
            &at("other.example.com"),
            "{}",
        ),
        write("POST", "/engagements/./7", &at("api.example.com"), "{}"),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let what = format!("{} {}", request.method(), request.uri());
        let response = send(&service, request).await;
        assert_eq!(response.headers["x-origin"], "yes", "{what}");
        assert_eq!(origin.calls(), number + 1, "{what}");
    }
    let accepted = write("POST", "/agents/7/activity", &at("api.example.com"), "{}");
    accepted_id(&send(&service, accepted).await);
    assert_eq!(waiting(&keep).await, 1);
}

#[tokio::test]
async fn an_ambiguous_path_is_refused_because_its_place_in_the_order_is_unknown() {
    let (keep, origin) = (volatile_keep(), origin());
    let service = queueing(&keep, &origin);
    for path in [
        "/agents/./7/activity",
        "/agents//7/activity",
        "/agents/7%2factivity",
        "/agents/7/%61ctivity",
    ] {
        let response = send(&service, write("POST", path, &[], "{}")).await;
        assert_eq!(problem(&response), (400, "about:blank".into()), "{path}");
    }
    assert_eq!(origin.calls(), 0);
    assert_eq!(waiting(&keep).await, 0);
}

#[tokio::test]
async fn a_write_to_a_user_s_key_needs_a_user() {
    let (keep, origin) = (volatile_keep(), origin());
    let service = queueing(&keep, &origin);
    let put = || write("PUT", "/preferences", &[], "dark");
    let refused = send(&service, put()).await;
    assert_eq!(problem(&refused), (403, "about:blank".into()));

    let id = accepted_id(&send(&service, as_user("alice", put())).await);
    let key = Key::new("preferences");
    let pending = |user| {
        let (queue, key) = (keep.queue(), key.clone());
        async move { queue.pending_of(&key, user).await.expect("an answer") }
    };
    let of_alice = pending("alice").await;
    assert_eq!(of_alice[0].id.to_string(), id);
    assert_eq!(of_alice[0].user.as_deref(), Some("alice"));
    assert!(pending("bob").await.is_empty());
    assert!(
        keep.queue()
            .pending(&key)
            .await
            .expect("an answer")
            .is_empty()
    );
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn the_stored_request_has_what_the_service_needs_and_no_credentials() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let fields = [
        ("content-type", "text/plain"),
        ("content-length", "4"),
        ("if-match", "\"1\""),
        ("accept-language", "de"),
        ("x-tenant", "7"),
        ("authorization", "Bearer secret"),
        ("cookie", "session=secret"),
        ("user-agent", "a client"),
    ];
    let path = "/agents/7/status?a=%20&access_token=secret&b";
    accepted_id(&send(&service, write("PUT", path, &fields, "busy")).await);
    let key = Key::new("agent").id(7).sub("status");
    let pending = keep.queue().pending(&key).await.expect("an answer");
    let request = &pending[0].request;
    assert_eq!(request.method(), "PUT");
    assert_eq!(request.uri(), "/agents/7/status?a=%20&b");
    assert_eq!(request.body(), "busy");
    let kept: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(
        kept,
        [
            "content-type",
            "content-length",
            "if-match",
            "accept-language",
            "x-tenant"
        ]
    );
}

#[tokio::test]
async fn writes_of_a_key_are_queued_in_the_order_of_acceptance() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    for content in ["1", "2", "3"] {
        accepted_id(&send(&service, post(content)).await);
    }
    let other = write("POST", "/agents/8/activity", &[], "other");
    accepted_id(&send(&service, other).await);
    let key = Key::new("agent").id(7).sub("activity");
    let pending = keep.queue().pending(&key).await.expect("an answer");
    let contents: Vec<_> = pending.iter().map(|write| write.request.body()).collect();
    assert_eq!(contents, ["1", "2", "3"]);
}

#[tokio::test]
async fn content_that_is_too_long_or_has_trailers_is_refused() {
    let table = table().behind(Behind::new().volatile(true).max_body(4));
    let keep = new_keep(table);
    let service = queueing(&keep, &origin());
    accepted_id(&send(&service, post("four")).await);
    let long = send(&service, post("fives")).await;
    assert_eq!(problem(&long), (413, "about:blank".into()));
    assert!(long.body.contains("up to 4 bytes"), "{}", long.body);

    let (sender, body) = body_channel();
    let sent = tokio::spawn(send_body(&keep, body));
    sender.data("a").await;
    sender.trailers(http::HeaderMap::new()).await;
    let response = sent.await.expect("no panic");
    assert_eq!(problem(&response), (400, "about:blank".into()));
    assert_eq!(waiting(&keep).await, 1);
}

#[tokio::test(start_paused = true)]
async fn content_that_breaks_off_or_does_not_arrive_is_refused() {
    let keep = volatile_keep();
    let (sender, body) = body_channel();
    let sent = tokio::spawn(send_body(&keep, body));
    sender.data("half").await;
    sender.fail().await;
    assert_eq!(sent.await.expect("no panic").status, 400);

    let (sender, body) = body_channel();
    let sent = tokio::spawn(send_body(&keep, body));
    sender.data("half").await;
    run_other_tasks().await;
    advance(31).await;
    let response = sent.await.expect("no panic");
    assert_eq!(problem(&response), (408, "about:blank".into()));
    assert_eq!(waiting(&keep).await, 0);
}

#[tokio::test]
async fn content_without_room_in_memory_is_refused() {
    let table = table().local(Local::new().fill_buffer(1));
    let keep = new_keep(table);
    let content = "x".repeat(17 << 10);
    let request = post("").map(|_| Full::from(content));
    let response = send(&queueing(&keep, &origin()), request).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.headers["retry-after"], "1");
    assert_eq!(waiting(&keep).await, 0);
}

/// Sends a write with this content.
fn send_body(keep: &Keep, body: OriginBody) -> impl Future<Output = TestResponse> + use<> {
    let handler = tower::service_fn(async |_: Request<OriginBody>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = WriteBehindLayer::new(keep).layer(handler);
    let request = post("").map(|_| body);
    async move { send(&service, request).await }
}

#[tokio::test]
async fn the_application_refuses_writes_before_they_are_accepted() {
    let (keep, origin) = (volatile_keep(), origin());
    let layer = WriteBehindLayer::new(&keep)
        .validate(async |request: Request<Bytes>| {
            let user = request.extensions().get::<UserId>().map(UserId::as_str);
            match (user, &request.body()[..]) {
                (Some("alice"), b"good") => Ok(()),
                (Some("alice"), _) => Err(StatusCode::UNPROCESSABLE_ENTITY),
                _ => Err(StatusCode::FORBIDDEN),
            }
        })
        .validate_route("/agents/{id}/status", async |_: Request<Bytes>| {
            let response = Response::builder().status(409).header("x-reason", "busy");
            Err(response.body("no").expect("a response"))
        });
    let service = layer.layer(origin.clone());
    assert_eq!(send(&service, post("good")).await.status, 403);
    assert_eq!(
        send(&service, as_user("alice", post("bad"))).await.status,
        422
    );
    accepted_id(&send(&service, as_user("alice", post("good"))).await);

    let put = write("PUT", "/agents/7/status", &[], "good");
    let refused = send(&service, as_user("alice", put)).await;
    assert_eq!((refused.status, &*refused.body), (409, "no"));
    assert_eq!(refused.headers["x-reason"], "busy");
    assert_eq!(waiting(&keep).await, 1);
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn a_validated_route_that_the_table_lacks_is_logged() {
    let (log, _guard) = Log::start();
    let keep = volatile_keep();
    let layer = WriteBehindLayer::new(&keep);
    let layer = layer.validate_route("/agents/{id}/activity", async |_| Ok::<_, StatusCode>(()));
    assert_eq!(log.count("has this path"), 0);
    let _ = layer.validate_route("/engagements/{id}", async |_| Ok::<_, StatusCode>(()));
    assert_eq!(log.count("has this path"), 1);
}

#[tokio::test]
async fn a_keep_without_redis_applies_writes_at_once_unless_it_may_queue_in_memory() {
    let (log, _guard) = Log::start();
    let (keep, origin) = (new_keep(table().behind(Behind::new())), origin());
    let service = ServiceBuilder::new()
        .layer(WriteBehindLayer::new(&keep))
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(origin.clone());
    for path in ["/agents/7/activity", "/agents/./7/activity"] {
        let response = send(&service, write("POST", path, &[], "{}")).await;
        assert_eq!(
            (response.status, &response.headers["x-origin"]),
            (200, &"yes".parse().expect("a value"))
        );
    }
    assert_eq!(origin.calls(), 2);
    assert_eq!(waiting(&keep).await, 0);
    assert_eq!(log.count("may overtake writes"), 0);
}

#[tokio::test]
async fn after_a_reload_nothing_overtakes_what_is_queued_in_memory() {
    let (keep, origin) = (volatile_keep(), origin());
    let service = queueing(&keep, &origin);
    accepted_id(&send(&service, post("1")).await);
    let table = table().behind(Behind::new());
    keep.reload(&table).expect("a valid table");
    accepted_id(&send(&service, post("2")).await);
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn queueing_in_memory_is_logged_once() {
    let (log, _guard) = Log::start();
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    for content in ["1", "2"] {
        accepted_id(&send(&service, post(content)).await);
    }
    assert_eq!(log.count("queues writes in memory"), 1);
}

#[tokio::test]
async fn a_missing_or_a_second_layer_is_logged() {
    let (log, _guard) = Log::start();
    let (keep, origin) = (volatile_keep(), origin());
    let without = (InvalidateLayer::new(&keep), CacheLayer::new(&keep)).layer(origin.clone());
    for _ in 0..2 {
        assert_eq!(send(&without, post("{}")).await.status, 200);
    }
    assert_eq!(log.count("add a WriteBehindLayer"), 1);
    // A read does not need it.
    let keep = volatile_keep();
    let without = (InvalidateLayer::new(&keep), CacheLayer::new(&keep)).layer(origin.clone());
    send(&without, get("/agents/7/activity")).await;
    assert_eq!(log.count("add a WriteBehindLayer"), 1);

    let keep = new_keep(table().behind(Behind::new()));
    let twice = (WriteBehindLayer::new(&keep), WriteBehindLayer::new(&keep)).layer(origin);
    assert_eq!(send(&twice, post("{}")).await.status, 200);
    assert_eq!(log.count("WriteBehindLayer is applied twice"), 1);
}

#[tokio::test]
async fn an_unconditional_put_takes_the_place_of_the_last_waiting_one() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let put = async |path: &str, fields: &[(&str, &str)]| {
        accepted_id(&send(&service, write("PUT", path, fields, "busy")).await)
    };
    let state = async |id: &str| {
        let id = id.parse().expect("an id");
        let status = keep.queue().status(id).await.expect("an answer");
        status.expect("a known write").state
    };
    let path = "/agents/7/status";
    let first = put(path, &[]).await;
    let second = put(path, &[]).await;
    assert_eq!(
        state(&first).await,
        WriteState::Superseded(second.parse().expect("an id"))
    );
    assert_eq!(waiting(&keep).await, 1);
    for (number, fields) in [
        (2, &[("content-type", "text/plain")][..]),
        (3, &[("x-tenant", "7")]),
        (4, &[("if-match", "\"1\"")]),
        (5, &[("if-match", "\"1\"")]),
        (6, &[]),
    ] {
        put(path, fields).await;
        assert_eq!(waiting(&keep).await, number, "{fields:?}");
    }
    put("/agents/7/status?field=a", &[]).await;
    assert_eq!(waiting(&keep).await, 7);
    put("/agents/7/status?field=b", &[]).await;
    assert_eq!(waiting(&keep).await, 8);
    let other_user = as_user(
        "alice",
        write("PUT", "/agents/7/status?field=b", &[], "busy"),
    );
    accepted_id(&send(&service, other_user).await);
    assert_eq!(waiting(&keep).await, 9);
}

#[tokio::test]
async fn an_unconditional_delete_takes_the_place_of_a_put() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let json = [("content-type", "application/json")];
    let delete = |fields: &[(&str, &str)]| write("DELETE", "/agents/7/status", fields, "");
    let put = write("PUT", "/agents/7/status", &json, "{}");
    let put = accepted_id(&send(&service, put).await);
    accepted_id(&send(&service, as_user("alice", delete(&[]))).await);
    assert_eq!(waiting(&keep).await, 2, "another user's");
    let status = async |id: &str| {
        let id = id.parse().expect("an id");
        let status = keep.queue().status(id).await.expect("an answer");
        status.expect("a known write").state
    };
    assert_eq!(status(&put).await, WriteState::Waiting);

    let put = write("PUT", "/agents/7/status", &json, "{}");
    let put = accepted_id(&send(&service, put).await);
    accepted_id(&send(&service, delete(&[("if-match", "\"1\"")])).await);
    assert_eq!(status(&put).await, WriteState::Waiting, "it is conditional");
    let put = write("PUT", "/agents/7/status", &json, "{}");
    let put = accepted_id(&send(&service, put).await);
    let deleted = accepted_id(&send(&service, delete(&[])).await);
    let deleted = WriteState::Superseded(deleted.parse().expect("an id"));
    assert_eq!(status(&put).await, deleted);
}

#[tokio::test]
async fn without_coalesce_every_write_waits() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    for _ in 0..2 {
        let put = write("PUT", "/agents/7/activity", &[], "busy");
        accepted_id(&send(&service, put).await);
    }
    assert_eq!(waiting(&keep).await, 2);
}

#[tokio::test]
async fn an_accepted_write_waits_for_no_permit_of_the_service() {
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::from_fn(move |_, _| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                ok_text("done")
            }
        })
    };
    let keep = volatile_keep();
    let mut service = ServiceBuilder::new()
        .layer(WriteBehindLayer::new(&keep))
        .concurrency_limit(1)
        .service(origin.clone());
    let slow = tokio::spawn(service.clone().oneshot(get("/agents/7/activity")));
    origin.called(1).await;
    let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service);
    let ready = ready
        .now_or_never()
        .expect("always ready")
        .expect("no error");
    let accepted = tokio::time::timeout(Duration::from_secs(20), ready.call(post("{}")));
    assert_eq!(
        accepted.await.expect("in time").expect("no error").status(),
        202
    );

    let other = tokio::spawn(service.clone().oneshot(get("/agents/8/activity")));
    run_other_tasks().await;
    assert_eq!(origin.calls(), 1, "the other read waits for the permit");
    gate.open();
    for read in [slow, other] {
        let response = read.await.expect("no panic").expect("no error");
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn an_empty_table_passes_everything_through() {
    let (keep, origin) = (new_keep(Table::new()), origin());
    let response = send(&queueing(&keep, &origin), post("{}")).await;
    assert_eq!(response.status, 200);
    assert_eq!(origin.calls(), 1);
}

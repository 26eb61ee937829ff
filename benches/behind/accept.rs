//! Accepting a write, beside a raw script that adds to a bounded stream; and a GET that asks the queue,
//! beside a raw script that reads a list.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_keep::{WriteBehindLayer, table::PendingMode};

use super::{
    flood::{Load, beside},
    raw::Raw,
    servers::RedisServer,
    shared, table,
};

const ADD: &str = "
if redis.call('XLEN', KEYS[1]) >= 100000000 then return 0 end
return redis.call('XADD', KEYS[1], '*', 'body', ARGV[1])";

const READ: &str = "return redis.call('LRANGE', KEYS[1], 0, -1)";

pub(crate) async fn accept() {
    let body: Bytes = vec![b'x'; 1024].into();
    let server = RedisServer::start();
    let raw = Raw::connect(&server.url()).await;
    let keep = shared::keep(&server.url(), table(PendingMode::Ignore)).await;
    let shown = shared::keep(&server.url(), table(PendingMode::Prepend)).await;
    let inner = || {
        service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("[]")))
        })
    };
    let layered = Arc::new(WriteBehindLayer::new(&keep).layer(inner()));
    let asking = Arc::new(WriteBehindLayer::new(&shown).layer(inner()));
    for in_flight in [64, 256] {
        let add = {
            let (raw, body) = (raw.clone(), body.clone());
            Load::new("raw XADD and XLEN in a script", move |i| {
                let (raw, body) = (raw.clone(), body.clone());
                async move {
                    let mut cmd = redis::cmd("EVAL");
                    cmd.arg(ADD)
                        .arg(1)
                        .arg(format!("stream:{}", i % 100))
                        .arg(&*body);
                    raw.send(cmd).await;
                }
            })
        };
        let push = {
            let (service, body) = (Arc::clone(&layered), body.clone());
            Load::new("accepting with WriteBehindLayer", move |i| {
                let mut service = (*service).clone();
                let request = Request::post(format!("/agents/{}/activity", i % 10_000))
                    .header("host", "bench")
                    .header("content-type", "application/json")
                    .body(Full::from(body.clone()))
                    .expect("a request");
                async move {
                    let response = service.call(request).await.expect("a response");
                    assert_eq!(response.status(), StatusCode::ACCEPTED);
                }
            })
        };
        beside(
            "Accepting 1 KiB (required: 33 %, goal: 67 %)",
            in_flight,
            &[add, push],
        )
        .await;
        let read = {
            let raw = raw.clone();
            Load::new("raw LRANGE in a script", move |i| {
                let raw = raw.clone();
                async move {
                    let mut cmd = redis::cmd("EVAL");
                    cmd.arg(READ).arg(1).arg(format!("list:{}", i % 100));
                    raw.send(cmd).await;
                }
            })
        };
        let ask = {
            let service = Arc::clone(&asking);
            Load::new("GET that asks the queue, nothing pending", move |i| {
                let mut service = (*service).clone();
                let request = Request::get(format!("/agents/idle-{i}/activity"))
                    .header("host", "bench")
                    .body(Full::default())
                    .expect("a request");
                async move {
                    let response = service.call(request).await.expect("a response");
                    assert_eq!(response.status(), StatusCode::OK);
                }
            })
        };
        beside("Asking (required: 67 %)", in_flight, &[read, ask]).await;
    }
}

//! A node: a process that accepts writes, applies them, and answers GETs.

use std::{convert::Infallible, env, error::Error, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, RedisStore, Table,
    message::RequestBody,
    write_behind::{Applying, WriteBehindLayer, WriteBehindWorker},
};

use super::database;
use crate::common::{
    node_process::{LISTENING, NodeProcess},
    one_shot_client as client,
};

/// The URL of Redis, the address of the database, and the node's number. A process with this variable
/// is a node.
const SETTINGS: &str = "BEHIND_CHECKER_NODE";

const TABLE: &str = r#"
    host = ["*"]

    [ttl]
    list = "60s"

    [store]
    deadline = "100ms"
    max_lag = "1s"

    [behind]
    backoff = "50ms"
    max_backoff = "400ms"
    attempts = 200
    max_per_key = 100000
    max_queue = 1000000
    max_bytes = "1GiB"

    [[route]]
    path = "/lists/{id}"
    key = "list:{id}"
    scope = "public"
    query = []
    write = "behind"
    pending = "append"
    pending_id = "id"
"#;

pub(super) struct Node {
    process: NodeProcess,
    pub(super) address: SocketAddr,
    /// Its number among all nodes that were ever started.
    pub(super) id: usize,
}

impl Node {
    pub(super) fn start(id: usize, redis: &str, database: SocketAddr) -> Self {
        let settings = format!("{redis} {database} {id}");
        let process = NodeProcess::start("behind_checker::node::process", SETTINGS, &settings);
        Self {
            address: process.address,
            process,
            id,
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// How many writes have not ended.
    pub(super) async fn waiting(&self) -> Option<u64> {
        let response = client::ask(self.address, "GET", "/waiting").await?;
        response.body.parse().ok()
    }
}

#[test]
#[ignore = "the checker starts it, as a process of its own"]
fn process() {
    let Ok(settings) = env::var(SETTINGS) else {
        return;
    };
    let words: Vec<&str> = settings.split(' ').collect();
    let [redis, database, id] = *words else {
        panic!("three settings")
    };
    let database = database.parse().expect("an address");
    let id = id.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(serve(redis, database, id))
        .expect("it serves until it is killed");
}

async fn serve(redis: &str, database: SocketAddr, id: usize) -> Result<(), Box<dyn Error>> {
    let table = Table::from_toml(TABLE)?;
    let keep = Keep::with_store(table, RedisStore::connect(redis).await?).await?;
    let handler = service_fn({
        let keep = keep.clone();
        move |request: Request<RequestBody<Incoming>>| {
            let keep = keep.clone();
            async move { Ok::<_, Infallible>(handle(&keep, database, id, request).await) }
        }
    });
    let apply = service_fn({
        let keep = keep.clone();
        move |request: Request<Full<Bytes>>| {
            let keep = keep.clone();
            async move { Ok::<_, Infallible>(handle(&keep, database, id, request).await) }
        }
    });
    let worker = WriteBehindWorker::new(&keep, apply)
        .request_body::<Full<Bytes>>()
        .lease(Duration::from_secs(2))
        .longest_call(Duration::from_secs(5));
    tokio::spawn(worker.run(std::future::pending::<()>()));

    let service = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(WriteBehindLayer::new(&keep).validate(async |_| Ok::<(), StatusCode>(())))
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(handler);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{LISTENING}{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        // A client that leaves is not an error.
        tokio::spawn(async move { connection.await.ok() });
    }
}

async fn handle<B>(
    keep: &Keep,
    database: SocketAddr,
    node: usize,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: http_body::Body<Data = Bytes>,
{
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let key = path.rsplit('/').next().unwrap_or_default();
    if path == "/waiting" {
        return match keep.queue().counts().await {
            Ok(counts) => answer(StatusCode::OK, counts.waiting.to_string()),
            Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
    }
    if parts.method == Method::GET {
        return match database::ask(database, &format!("R {key}")).await {
            Ok(tokens) => {
                let rows = tokens.split_whitespace();
                let rows: Vec<_> = rows.map(|token| serde_json::json!({"id": token})).collect();
                answer(StatusCode::OK, serde_json::Value::from(rows).to_string())
            }
            Err(_) => answer(StatusCode::BAD_GATEWAY, String::new()),
        };
    }
    let Some(applying) = parts.extensions.get::<Applying>() else {
        return answer(
            StatusCode::IM_A_TEAPOT,
            "a write that was not queued".into(),
        );
    };
    let Ok(body) = body.collect().await else {
        return answer(StatusCode::BAD_REQUEST, String::new());
    };
    let row: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let token = row["id"].as_str().unwrap_or("none");
    let (seq, attempt, id) = (applying.seq, applying.attempt, applying.id);
    let line = format!("A {key} {token} {seq} {attempt} {node} {id}");
    let status = database::ask(database, &line).await;
    let status = status.ok().and_then(|status| status.parse().ok());
    let status = status.and_then(|status: u16| StatusCode::from_u16(status).ok());
    answer(status.unwrap_or(StatusCode::BAD_GATEWAY), String::new())
}

fn answer(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    *response.status_mut() = status;
    response
}

//! A write that replaces the stored response, compared with one that only invalidates it, and with `SET`.

use std::{convert::Infallible, time::Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use redis::Cmd;
use tokio::runtime::Builder;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Route, Scope, Table,
    table::{Through, Write, mins},
};

use super::{
    kit::quantile,
    servers::RedisServer,
    support::{raw::Raw, shared},
};

const ROUNDS: usize = 40;
const PER_ROUND: usize = 25;
const BODY: &str = r#"{"name":"an engagement"}"#;

pub(crate) fn run() {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = RedisServer::start();
        let writers = [
            Writer::new(&server, "invalidated", None).await,
            Writer::new(
                &server,
                "replaced by its own response",
                Some(Through::Answer),
            )
            .await,
            Writer::new(&server, "replaced by a GET", Some(Through::Refetch)).await,
        ];
        let raw = Raw::connect(&server.url()).await;
        let (mut raw_sets, mut ours) = (Vec::new(), [const { Vec::new() }; 3]);
        for round in 0..ROUNDS {
            raw_sets.extend(set(&raw, round).await);
            for (writer, nanos) in writers.iter().zip(&mut ours) {
                nanos.extend(writer.put(round).await);
            }
        }
        println!("\na PUT, by what happens to the stored response");
        let floor = print(
            "SET of the new response, by hand",
            quantile(&mut raw_sets, 0.5),
            None,
        );
        for (writer, nanos) in writers.iter().zip(&mut ours) {
            print(writer.name, quantile(nanos, 0.5), Some(floor));
        }
    });
}

struct Writer {
    name: &'static str,
    keep: Keep,
}

impl Writer {
    async fn new(server: &RedisServer, name: &'static str, through: Option<Through>) -> Self {
        let mut route = Route::new("/engagements/{id}")
            .key("engagement:{id}")
            .scope(Scope::Public);
        if let Some(through) = through {
            route = route.write(Write::Through).through(through);
        }
        let table = Table::new().namespace(format!("{}:", name.len()));
        let table = table.ttl("engagement", mins(30)).route(route);
        let keep = shared::keep(&server.url(), table).await;
        Self { name, keep }
    }

    /// The times of some writes in sequence.
    async fn put(&self, round: usize) -> Vec<u64> {
        let handler = service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(BODY)))
        });
        let layers = (
            InvalidateLayer::new(&self.keep),
            CacheLayer::new(&self.keep),
        );
        let service = layers.layer(handler);
        // Write-through sends GETs only to a service that gets GETs.
        let get = Request::get("/").body(Full::default()).expect("a path");
        service.clone().oneshot(get).await.expect("a response");
        let mut nanos = Vec::new();
        for i in 0..PER_ROUND {
            let path = format!("/engagements/{}", round * PER_ROUND + i);
            let request = Request::put(path).body(Full::from(BODY)).expect("a path");
            let start = Instant::now();
            let response = service.clone().oneshot(request).await.expect("a response");
            let body = response.into_body().collect().await.expect("a body");
            nanos.push(start.elapsed().as_nanos() as u64);
            assert_eq!(body.to_bytes(), BODY);
        }
        nanos
    }
}

async fn set(raw: &Raw, round: usize) -> Vec<u64> {
    let mut nanos = Vec::new();
    for i in 0..PER_ROUND {
        let mut set = Cmd::new();
        set.arg("SET")
            .arg(format!("raw:{}", round * PER_ROUND + i))
            .arg(BODY)
            .arg("PX")
            .arg(1_800_000);
        let start = Instant::now();
        raw.send(set).await;
        nanos.push(start.elapsed().as_nanos() as u64);
    }
    nanos
}

fn print(name: &str, micros: f64, floor: Option<f64>) -> f64 {
    let ratio = floor.map_or(1.0, |floor| micros / floor);
    println!("  {name:<46} {micros:>9.0} us  {ratio:>8.2} x");
    micros
}

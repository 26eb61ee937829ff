//! Applying accepted writes, beside calls of the service without a queue.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{sync::Notify, task::JoinSet, time::sleep};
use tower::{Layer, Service, service_fn};
use tower_keep::{Keep, WriteBehindLayer, WriteBehindWorker, table::PendingMode};

use super::{servers::RedisServer, shared, table};

const WRITES: usize = 10_000;
const KEYS: usize = 100;
const CONCURRENCY: usize = 16;

/// Calls that have ended.
#[derive(Clone, Default)]
struct Applied {
    count: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

impl Applied {
    async fn call(self, takes: Duration) -> Result<Response<Full<Bytes>>, Infallible> {
        if !takes.is_zero() {
            // From half to one and a half of it: calls that all take the same time would end together,
            // and wait for the stores at the same time.
            let factor = rand_unit(self.count.load(Ordering::Relaxed)) + 0.5;
            sleep(takes.mul_f64(factor)).await;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
        Ok(Response::new(Full::default()))
    }

    async fn reaches(&self, count: usize) {
        while self.count.load(Ordering::SeqCst) < count {
            self.changed.notified().await;
        }
    }
}

/// A number from 0 to 1 that looks random.
fn rand_unit(seed: usize) -> f64 {
    let mixed = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    mixed as f64 / (1u64 << 24) as f64
}

async fn accept(keep: &Keep, key: usize) {
    let unused = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::post(format!("/agents/{key}/activity"))
        .header("host", "bench")
        .body(Full::from(Bytes::from_static(b"{}")))
        .expect("a request");
    let response = WriteBehindLayer::new(keep)
        .layer(unused)
        .call(request)
        .await;
    assert_eq!(response.expect("a response").status(), StatusCode::ACCEPTED);
}

fn worker(keep: &Keep, applied: &Applied, takes: Duration) -> JoinSet<()> {
    let applied = applied.clone();
    let service = service_fn(move |_: Request<Full<Bytes>>| applied.clone().call(takes));
    let worker = WriteBehindWorker::new(keep, service)
        .request_body::<Full<Bytes>>()
        .concurrency(CONCURRENCY)
        .lease(Duration::from_secs(1));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        worker.run(std::future::pending::<()>()).await;
    });
    tasks
}

/// Waits until Redis hands out writes: not before one lease has passed since its first use.
async fn begin(keep: &Keep) {
    let applied = Applied::default();
    let mut worker = worker(keep, &applied, Duration::ZERO);
    accept(keep, KEYS).await;
    applied.reaches(1).await;
    while keep.queue().counts().await.expect("counts").waiting > 0 {
        tokio::task::yield_now().await;
    }
    worker.shutdown().await;
}

/// The time from the acceptance of a write by an idle keep to the call of the service.
pub(crate) async fn latency() {
    let server = RedisServer::start();
    let keep = shared::keep(&server.url(), table(PendingMode::Ignore)).await;
    begin(&keep).await;
    let applied = Applied::default();
    let _worker = worker(&keep, &applied, Duration::ZERO);
    let mut millis = Vec::new();
    for count in 1..=200 {
        sleep(Duration::from_millis(5)).await;
        let start = Instant::now();
        accept(&keep, count).await;
        applied.reaches(count).await;
        millis.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    println!(
        "\nFrom request to applied, idle: median {:.2} ms, 95 % {:.2} ms, longest {:.2} ms",
        millis[100], millis[189], millis[199]
    );
}

pub(crate) async fn throughput() {
    println!(
        "\nApplying {WRITES} writes over {KEYS} keys, {CONCURRENCY} at a time (required: 80 % of direct calls)"
    );
    for takes in [1, 5, 20] {
        let takes = Duration::from_millis(takes);
        let direct = direct(takes).await;
        let server = RedisServer::start();
        let keep = shared::keep(&server.url(), table(PendingMode::Ignore)).await;
        begin(&keep).await;
        for write in 0..WRITES {
            accept(&keep, write % KEYS).await;
        }
        let applied = Applied::default();
        let start = Instant::now();
        let _worker = worker(&keep, &applied, takes);
        applied.reaches(WRITES).await;
        let queued = WRITES as f64 / start.elapsed().as_secs_f64();
        println!(
            "  a service that takes {takes:?} on average: {queued:.0} /s, directly {direct:.0} /s: {:.0} %",
            100.0 * queued / direct
        );
    }
}

async fn direct(takes: Duration) -> f64 {
    let applied = Applied::default();
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let applied = applied.clone();
        callers.spawn(async move {
            for _ in 0..WRITES / CONCURRENCY {
                let _ = applied.clone().call(takes).await;
            }
        });
    }
    callers.join_all().await;
    WRITES as f64 / start.elapsed().as_secs_f64()
}

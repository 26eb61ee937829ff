//! From the call at one keep until another has applied it, beside `XADD` and a waiting `XREAD`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, streams::StreamReadReply};
use tokio::{
    runtime::Builder,
    time::{MissedTickBehavior, interval},
};
use tower_keep::keep::Invalidation;

use super::{
    kit::{keep, quantile},
    servers::RedisServer,
};

/// A thousand a second.
const PACE: Duration = Duration::from_millis(1);
const ROUND: usize = 1000;
const ROUNDS: usize = 4;

pub(crate) fn run() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let server = RedisServer::start();
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            bare.extend(stream(&server, round).await);
            ours.extend(invalidations(&server, round).await);
        }
        println!("\nto another process, 1,000 a second (goal: p99 3 x)");
        let floor = print("XADD until XREAD BLOCK returns", &mut bare, None);
        print(
            "invalidate until the other keep has applied it",
            &mut ours,
            Some(floor),
        );
    });
}

/// The times at which things were sent, by number.
type Sent = Arc<[std::sync::OnceLock<Instant>]>;

fn sent() -> Sent {
    (0..ROUND).map(|_| std::sync::OnceLock::new()).collect()
}

fn latency(sent: &Sent, number: usize) -> u64 {
    let at = sent[number].get().expect("it was sent before it came");
    at.elapsed().as_nanos() as u64
}

async fn stream(server: &RedisServer, round: usize) -> Vec<u64> {
    let name = format!("bench:{round}");
    let (mut writer, mut reader) = (connect(server).await, connect(server).await);
    let sent = sent();
    let received = tokio::spawn({
        let (name, sent) = (name.clone(), Arc::clone(&sent));
        async move {
            let (mut nanos, mut last) = (Vec::new(), "0".to_owned());
            while nanos.len() < ROUND {
                let mut read = redis::cmd("XREAD");
                read.arg("BLOCK")
                    .arg(0)
                    .arg("STREAMS")
                    .arg(&name)
                    .arg(&last);
                let reply: StreamReadReply = read
                    .query_async(&mut reader)
                    .await
                    .expect("the server runs");
                for record in reply.keys.iter().flat_map(|stream| &stream.ids) {
                    let number = record.get("n").expect("as it was written");
                    nanos.push(latency(&sent, number));
                    last.clone_from(&record.id);
                }
            }
            nanos
        }
    });
    let mut pace = paced();
    for (number, at) in sent.iter().enumerate() {
        pace.tick().await;
        let mut add = redis::cmd("XADD");
        add.arg(&name).arg("*").arg("n").arg(number);
        at.get_or_init(Instant::now);
        let _: String = add.query_async(&mut writer).await.expect("the server runs");
    }
    received.await.expect("no panic")
}

async fn connect(server: &RedisServer) -> MultiplexedConnection {
    let client = Client::open(server.url()).expect("a Redis URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await;
    connection.expect("the server runs")
}

async fn invalidations(server: &RedisServer, round: usize) -> Vec<u64> {
    let (writer, reader) = (keep(server).await, keep(server).await);
    let mut applied = reader.invalidations();
    let sent = sent();
    let received = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            let _reader = reader;
            let mut nanos = Vec::new();
            while nanos.len() < ROUND {
                let invalidation = applied.next().await.expect("the keep is there");
                let number = invalidation.as_tag().and_then(|tag| {
                    let (of, number) = tag.split_once(':')?;
                    (of == round.to_string()).then(|| number.parse().ok())?
                });
                if let Some(number) = number {
                    nanos.push(latency(&sent, number));
                }
            }
            nanos
        }
    });
    let mut pace = paced();
    for (number, at) in sent.iter().enumerate() {
        pace.tick().await;
        let tag = Invalidation::tag(format!("{round}:{number}"));
        at.get_or_init(Instant::now);
        writer.invalidate([tag]).await.expect("the server runs");
    }
    received.await.expect("no panic")
}

fn paced() -> tokio::time::Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

fn print(name: &str, nanos: &mut [u64], floor: Option<f64>) -> f64 {
    let (half, most) = (quantile(nanos, 0.5), quantile(nanos, 0.99));
    let ratio = floor.map_or(1.0, |floor| most / floor);
    println!("  {name:<46} p50 {half:>7.0} us  p99 {most:>7.0} us  {ratio:>5.2} x");
    most
}

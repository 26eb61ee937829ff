//! The time from an invalidation in one process until another has applied it, compared with `XADD` and a blocking
//! `XREAD`.

use std::time::Duration;

use tokio::{
    runtime::Builder,
    time::{MissedTickBehavior, interval},
};
use tower_keep::keep::Invalidation;

use super::{
    kit::{MESSAGES_PER_ROUND, keep, now, quantile},
    receiver::{self, Receiver, Source},
    servers::RedisServer,
};

/// The time between two messages.
const PACE: Duration = Duration::from_millis(1);
/// Enough that a disturbance of the machine affects few of them.
const ROUNDS: usize = 15;

pub(crate) fn run() {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = RedisServer::start();
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            raw.push(stream_entries(&server, round).await);
            ours.push(invalidations(&server, round).await);
        }
        println!("\nto another process, 1,000 a second; medians of rounds (goal: p99 3 x)");
        let floor = print("XADD until XREAD BLOCK returns", &mut raw, None);
        print(
            "invalidate until the other process has applied it",
            &mut ours,
            Some(floor),
        );
    });
}

async fn stream_entries(server: &RedisServer, round: usize) -> Vec<u64> {
    let receiver = Receiver::start(Source::Stream, &server.url(), round);
    let mut writer = receiver::connect(&server.url()).await;
    let (mut pace, mut sent) = (paced(), Vec::new());
    for number in 0..MESSAGES_PER_ROUND {
        pace.tick().await;
        let mut add = redis::cmd("XADD");
        add.arg(receiver::stream_name(round))
            .arg("*")
            .arg("n")
            .arg(number);
        sent.push(now());
        let _: String = add.query_async(&mut writer).await.expect("the server runs");
    }
    receiver.latencies(&sent)
}

async fn invalidations(server: &RedisServer, round: usize) -> Vec<u64> {
    let receiver = Receiver::start(Source::Keep, &server.url(), round);
    let writer = keep(&server.url()).await;
    let (mut pace, mut sent) = (paced(), Vec::new());
    for number in 0..MESSAGES_PER_ROUND {
        pace.tick().await;
        let tag = Invalidation::tag(format!("{round}:{number}"));
        sent.push(now());
        writer.invalidate([tag]).await.expect("the server runs");
    }
    receiver.latencies(&sent)
}

fn paced() -> tokio::time::Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

fn print(name: &str, rounds: &mut [Vec<u64>], floor: Option<f64>) -> f64 {
    let [median, p99] = [0.5, 0.99].map(|q| {
        let mut quantiles: Vec<_> = rounds.iter_mut().map(|round| quantile(round, q)).collect();
        quantiles.sort_unstable_by(f64::total_cmp);
        quantiles[quantiles.len() / 2]
    });
    let ratio = floor.map_or(1.0, |floor| p99 / floor);
    println!("  {name:<50} p50 {median:>6.0} us  p99 {p99:>6.0} us  p99 {ratio:>5.2} x");
    p99
}

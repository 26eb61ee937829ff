//! From the call at one process until another has applied it, beside `XADD` and a waiting `XREAD`.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::Builder,
    time::{MissedTickBehavior, interval},
};
use tower_keep::keep::Invalidation;

use super::{
    kit::{keep, quantile},
    receiver::{self, Kind, Receiver},
    servers::RedisServer,
};

/// A thousand a second.
const PACE: Duration = Duration::from_millis(1);
pub(crate) const ROUND: usize = 500;
/// What else the machine does strikes a few of them.
const ROUNDS: usize = 15;

pub(crate) fn run() {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = RedisServer::start();
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            bare.push(stream(&server, round).await);
            ours.push(invalidations(&server, round).await);
        }
        println!("\nto another process, 1,000 a second; medians of rounds (goal: p99 3 x)");
        let floor = print("XADD until XREAD BLOCK returns", &mut bare, None);
        print(
            "invalidate until the other process has applied it",
            &mut ours,
            Some(floor),
        );
    });
}

/// Nanoseconds of the clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

async fn stream(server: &RedisServer, round: usize) -> Vec<u64> {
    let receiver = Receiver::start(Kind::Stream, &server.url(), round);
    let mut writer = receiver::connect(&server.url()).await;
    let (mut pace, mut sent) = (paced(), Vec::new());
    for number in 0..ROUND {
        pace.tick().await;
        let mut add = redis::cmd("XADD");
        add.arg(receiver::stream(round))
            .arg("*")
            .arg("n")
            .arg(number);
        sent.push(now());
        let _: String = add.query_async(&mut writer).await.expect("the server runs");
    }
    receiver.latencies(&sent)
}

async fn invalidations(server: &RedisServer, round: usize) -> Vec<u64> {
    let receiver = Receiver::start(Kind::Keep, &server.url(), round);
    let writer = keep(&server.url()).await;
    let (mut pace, mut sent) = (paced(), Vec::new());
    for number in 0..ROUND {
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
    let [half, most] = [0.5, 0.99].map(|q| {
        let mut of_rounds: Vec<_> = rounds.iter_mut().map(|round| quantile(round, q)).collect();
        of_rounds.sort_unstable_by(f64::total_cmp);
        of_rounds[of_rounds.len() / 2]
    });
    let ratio = floor.map_or(1.0, |floor| most / floor);
    println!("  {name:<50} p50 {half:>6.0} us  p99 {most:>6.0} us  p99 {ratio:>5.2} x");
    most
}

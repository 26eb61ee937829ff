//! Compares the throughput of asynchronous operations with a fixed number in flight.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(150);

/// An operation to measure; its argument is a running number.
pub(crate) struct Load<'a> {
    name: &'static str,
    start: Box<dyn Fn(usize, Duration) -> Flood + 'a>,
}

type Flood = Pin<Box<dyn Future<Output = Rate>>>;

impl<'a> Load<'a> {
    pub(crate) fn new<F, R>(name: &'static str, operation: F) -> Self
    where
        F: Fn(u64) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let start =
            move |in_flight, time| -> Flood { Box::pin(flood(in_flight, time, operation.clone())) };
        Self {
            name,
            start: Box::new(start),
        }
    }
}

/// The measured throughput.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// CPU time of this process per operation.
    pub(crate) cpu_nanos: f64,
}

/// Measures the loads in interleaved rounds, and prints each with its ratio to the first.
///
/// Ratios are computed within a round, and their median is printed, because the speed of a machine varies over time.
pub(crate) async fn beside(title: &str, in_flight: usize, loads: &[Load<'_>]) {
    let mut rates = vec![Vec::new(); loads.len()];
    for load in loads {
        (load.start)(in_flight, ROUND / 4).await;
    }
    for _ in 0..ROUNDS {
        for (load, rates) in loads.iter().zip(&mut rates) {
            rates.push((load.start)(in_flight, ROUND).await);
        }
    }
    println!("\n{title}, {in_flight} in flight");
    for (load, own) in loads.iter().zip(&rates) {
        let rounds = || own.iter().zip(&rates[0]);
        println!(
            "  {:<46} {:>8.0} /s {:>5.0} %  {:>6.2} us of CPU {:>+6.2} us",
            load.name,
            median(own.iter().map(|own| own.per_second)),
            median(rounds().map(|(own, floor)| 100.0 * own.per_second / floor.per_second)),
            median(own.iter().map(|own| own.cpu_nanos / 1000.0)),
            median(rounds().map(|(own, floor)| (own.cpu_nanos - floor.cpu_nanos) / 1000.0)),
        );
    }
}

async fn flood<F, R>(in_flight: usize, time: Duration, operation: F) -> Rate
where
    F: Fn(u64) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut clients = JoinSet::new();
    for client in 0..in_flight as u64 {
        let operation = operation.clone();
        clients.spawn(async move {
            let mut done = 0;
            // Each client starts at a different key.
            let first = client.wrapping_mul(7919);
            while start.elapsed() < time {
                for _ in 0..8 {
                    operation(first + done).await;
                    done += 1;
                }
            }
            done
        });
    }
    let done: u64 = clients.join_all().await.into_iter().sum();
    let took = start.elapsed();
    Rate {
        per_second: done as f64 / took.as_secs_f64(),
        cpu_nanos: (cpu_time() - cpu).as_nanos() as f64 / done as f64,
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

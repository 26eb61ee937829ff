//! Scaling from one thread to two.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::probing;

const ROUNDS: usize = 9;

/// Prints the throughput of two threads as a multiple of one thread's. `make` returns the operation of a thread, which
/// runs it `n` times.
pub(crate) fn scaling<R>(name: &str, n: u64, make: impl Fn() -> R)
where
    R: FnMut(u64) + Send,
{
    if probing() {
        return;
    }
    let (mut one, mut two) = (Duration::MAX, Duration::MAX);
    // The best round: disturbances only ever add time.
    for _ in 0..ROUNDS {
        one = one.min(run(n, vec![make()]));
        two = two.min(run(n, vec![make(), make()]));
    }
    let ratio = 2.0 * one.as_secs_f64() / two.as_secs_f64();
    let nanos = one.as_nanos() as f64 / n as f64;
    println!("  {name:<46} {nanos:>8.0} ns alone; two threads serve {ratio:>5.2} x of one");
}

/// The time until all threads have finished.
fn run(n: u64, work: Vec<impl FnMut(u64) + Send>) -> Duration {
    let barrier = Barrier::new(work.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = work
            .into_iter()
            .map(|mut work| {
                let barrier = &barrier;
                scope.spawn(move || {
                    work(n / 10);
                    barrier.wait();
                    work(n);
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().expect("no case panics");
        }
        start.elapsed()
    })
}

//! Compares synchronous operations.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::callgrind;

const ROUNDS: usize = 41;
const ROUND: Duration = Duration::from_millis(5);

/// An operation to measure: `run(n)` executes it `n` times.
pub(crate) struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut(u64) + 'a>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut(u64) + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
        }
    }
}

/// The cost of a case, per operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) nanos: f64,
    pub(crate) allocations: f64,
    pub(crate) instructions: Option<f64>,
}

/// Measures the cases in interleaved rounds, and prints each with its ratio to the first.
///
/// Under callgrind it runs only the selected case.
pub(crate) fn compare(title: &str, mut cases: Vec<Case<'_>>) -> Vec<Cost> {
    if let Some(name) = callgrind::selected_case() {
        if let Some(case) = cases.iter_mut().find(|case| case.name == name) {
            (case.run)(callgrind::WARMUP);
            callgrind::count(|| (case.run)(callgrind::OPERATIONS));
            std::process::exit(0);
        }
        return Vec::new();
    }
    let nanos = interleaved(&mut cases);
    let costs: Vec<Cost> = cases
        .iter_mut()
        .zip(nanos)
        .map(|(case, nanos)| Cost {
            nanos,
            allocations: allocations(case),
            instructions: callgrind::instructions(case.name),
        })
        .collect();
    print(title, &cases, &costs);
    costs
}

/// The ratio of `a` to `b`, in instructions if they are known, otherwise in time.
pub(crate) fn ratio(a: &Cost, b: &Cost) -> f64 {
    match (a.instructions, b.instructions) {
        (Some(a), Some(b)) => a / b,
        _ => a.nanos / b.nanos,
    }
}

/// Nanoseconds per operation in the best round: disturbances only ever add time.
fn interleaved(cases: &mut [Case<'_>]) -> Vec<f64> {
    let batch: Vec<u64> = cases.iter_mut().map(batch_size).collect();
    let mut nanos = vec![f64::INFINITY; cases.len()];
    for _ in 0..ROUNDS {
        for (i, case) in cases.iter_mut().enumerate() {
            let start = Instant::now();
            (case.run)(batch[i]);
            nanos[i] = nanos[i].min(start.elapsed().as_nanos() as f64 / batch[i] as f64);
        }
    }
    nanos
}

fn batch_size(case: &mut Case<'_>) -> u64 {
    let mut n = 16;
    loop {
        let start = Instant::now();
        (case.run)(n);
        let took = start.elapsed();
        if took >= ROUND / 4 {
            let per = took.as_nanos() as f64 / n as f64;
            return ((ROUND.as_nanos() as f64 / per) as u64).max(1);
        }
        n *= 4;
    }
}

fn allocations(case: &mut Case<'_>) -> f64 {
    const N: u64 = 1000;
    let info = allocation_counter::measure(|| (case.run)(black_box(N)));
    info.count_total as f64 / N as f64
}

fn print(title: &str, cases: &[Case<'_>], costs: &[Cost]) {
    println!("\n{title}");
    let Some(base) = costs.first() else { return };
    for (case, cost) in cases.iter().zip(costs) {
        let instructions = match (cost.instructions, base.instructions) {
            (Some(i), Some(f)) => format!("{i:>8.0} instr {:>5.2} x", i / f),
            _ => "       - instr        ".into(),
        };
        println!(
            "  {:<46} {:>8.0} ns {:>5.2} x  {instructions}  {:>5.2} allocs",
            case.name,
            cost.nanos,
            cost.nanos / base.nanos,
            cost.allocations
        );
    }
}

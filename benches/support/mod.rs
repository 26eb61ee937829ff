//! Ratios, measured in one run: time by interleaved rounds, allocations by a counting allocator,
//! instructions by callgrind where valgrind is installed.

#![allow(dead_code)] // every bench uses a part of it

use std::{
    env,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(40);

/// One thing to measure: `run(n)` does it `n` times.
pub struct Case<'a> {
    pub name: &'static str,
    pub run: Box<dyn FnMut(u64) + 'a>,
}

impl<'a> Case<'a> {
    pub fn new(name: &'static str, run: impl FnMut(u64) + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
        }
    }
}

/// What one case costs, per operation.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub nanos: f64,
    pub allocations: f64,
    pub instructions: Option<f64>,
}

/// Measures every case in interleaved rounds and prints each beside the first.
pub fn compare(title: &str, cases: &mut [Case<'_>]) -> Vec<Cost> {
    if let Some((name, n)) = probe() {
        if let Some(case) = cases.iter_mut().find(|c| c.name == name) {
            (case.run)(100);
            (case.run)(n);
            std::process::exit(0);
        }
        return Vec::new();
    }
    let batch: Vec<u64> = cases.iter_mut().map(batch_size).collect();
    let mut nanos = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (i, case) in cases.iter_mut().enumerate() {
            let start = Instant::now();
            (case.run)(batch[i]);
            nanos[i].push(start.elapsed().as_nanos() as f64 / batch[i] as f64);
        }
    }
    let costs: Vec<Cost> = cases
        .iter_mut()
        .zip(&mut nanos)
        .map(|(case, nanos)| Cost {
            nanos: median(nanos),
            allocations: allocations(case),
            instructions: instructions(case.name),
        })
        .collect();
    print(title, cases, &costs);
    costs
}

fn print(title: &str, cases: &[Case<'_>], costs: &[Cost]) {
    println!("\n{title}");
    let Some(floor) = costs.first() else { return };
    for (case, cost) in cases.iter().zip(costs) {
        let ratio = cost.nanos / floor.nanos;
        let instructions = match (cost.instructions, floor.instructions) {
            (Some(i), Some(f)) => format!("{i:>9.0} instr {:>6.2} x", i / f),
            _ => "        - instr        ".into(),
        };
        println!(
            "  {:<44} {:>9.0} ns {ratio:>6.2} x   {instructions}   {:>6.2} allocs",
            case.name, cost.nanos, cost.allocations
        );
    }
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

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn allocations(case: &mut Case<'_>) -> f64 {
    const N: u64 = 1000;
    let info = allocation_counter::measure(|| (case.run)(black_box(N)));
    info.count_total as f64 / N as f64
}

/// Instructions per operation: the difference between two runs of this very bench under callgrind.
fn instructions(name: &str) -> Option<f64> {
    const N: u64 = 2000;
    let few = callgrind(name, N)?;
    let many = callgrind(name, 3 * N)?;
    Some((many.saturating_sub(few)) as f64 / (2 * N) as f64)
}

fn callgrind(name: &str, n: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .env("KEEP_BENCH_PROBE", format!("{name}={n}"))
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find(|l| l.contains("Collected"))?;
    collected.split_whitespace().last()?.parse().ok()
}

fn probe() -> Option<(String, u64)> {
    let probe = env::var("KEEP_BENCH_PROBE").ok()?;
    let (name, n) = probe.rsplit_once('=')?;
    Some((name.to_owned(), n.parse().ok()?))
}

//! Instructions, counted by running this very bench again under callgrind, for one case.

use std::{env, process::Command};

/// How often a case runs before it is counted, and while it is.
pub(super) const WARMUP: u64 = 2000;
pub(super) const OPERATIONS: u64 = 2000;

const CASE: &str = "KEEP_BENCH_CASE";

/// Whether this process is one that counts instructions: fewer keys will do then.
pub(crate) fn probing() -> bool {
    wanted().is_some()
}

/// The case to count, in such a process.
pub(super) fn wanted() -> Option<String> {
    env::var(CASE).ok()
}

/// Callgrind counts while this function runs, and only then.
#[inline(never)]
pub(super) fn count(run: impl FnOnce()) {
    run();
    std::hint::black_box(());
}

/// Instructions an operation of the case; `None` without valgrind.
pub(super) fn instructions(case: &str) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*callgrind::count*")
        .arg(env::current_exe().ok()?)
        .env(CASE, case)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find(|line| line.contains("Collected"))?;
    let total: u64 = collected.split_whitespace().last()?.parse().ok()?;
    Some(total as f64 / OPERATIONS as f64)
}

//! Instruction counts: runs this bench again under callgrind, for one case.

use std::{collections::HashMap, env, fs, process::Command};

/// How often a case runs before and during counting.
pub(super) const WARMUP: u64 = 2000;
pub(super) const OPERATIONS: u64 = 2000;

const CASE: &str = "KEEP_BENCH_CASE";

/// Whether this process runs under callgrind.
pub(crate) fn probing() -> bool {
    selected_case().is_some()
}

/// The case to count, if this process runs under callgrind.
pub(super) fn selected_case() -> Option<String> {
    env::var(CASE).ok()
}

/// Callgrind counts only while this function runs.
#[inline(never)]
pub(super) fn count(run: impl FnOnce()) {
    run();
    std::hint::black_box(());
}

/// Instructions per operation of the case; `None` without valgrind.
pub(super) fn instructions(case: &str) -> Option<f64> {
    run(case, "/dev/null")
}

/// Instructions per operation of the case: all, and those of one module of the crate.
pub(crate) fn share(case: &str, module: &str) -> Option<(f64, f64)> {
    let file = tempfile::NamedTempFile::new().ok()?;
    let all = run(case, file.path().to_str()?)?;
    let profile = fs::read_to_string(file.path()).ok()?;
    let own = own_instructions(&profile, module);
    Some((all, own as f64 / OPERATIONS as f64))
}

/// The self cost of the module's functions and of its lines where they are inlined elsewhere
/// (<https://valgrind.org/docs/manual/cl-format.html>).
fn own_instructions(profile: &str, module: &str) -> u64 {
    let (of_file, of_function) = (format!("src/{module}/"), format!("::{module}::"));
    let (mut files, mut functions) = (Names::default(), Names::default());
    let (mut in_file, mut in_function, mut of_callee) = (false, false, false);
    let mut sum = 0;
    for line in profile.lines() {
        match line.split_once('=') {
            Some(("fl" | "fi" | "fe", name)) => in_file = files.full(name).contains(&of_file),
            Some(("cfi" | "cfl", name)) => drop(files.full(name)),
            Some(("fn", name)) => in_function = functions.full(name).contains(&of_function),
            Some(("cfn", name)) => drop(functions.full(name)),
            Some(("calls", _)) => of_callee = true,
            _ if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) => {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok());
                let counts = (in_file || in_function) && !of_callee;
                sum += cost.filter(|_| counts).unwrap_or(0);
                of_callee = false;
            }
            _ => {}
        }
    }
    sum
}

/// Names are written out once and then referred to by number.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn full(&mut self, name: &str) -> String {
        match name.split_once(' ') {
            Some((number, name)) => {
                self.0.insert(number.to_owned(), name.to_owned());
                name.to_owned()
            }
            None => self.0.get(name).cloned().unwrap_or_default(),
        }
    }
}

fn run(case: &str, out: &str) -> Option<f64> {
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={out}"))
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

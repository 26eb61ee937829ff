//! Instruction counts by gungraun, for comparison between versions of the crate. Needs valgrind and
//! `cargo install gungraun-runner`, in the version of the library.
//!
//! Each count is of [`OPERATIONS`](cases::OPERATIONS) operations. Within a group, the first function is the base of the
//! comparison.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)] // a part of it is used here
#[path = "../cache/kit.rs"]
mod kit;

mod cases;

use std::{env, process::Command};

fn main() {
    let started_by_runner = env::args().any(|argument| argument.starts_with("--gungraun-run"));
    if started_by_runner || is_installed("valgrind") && is_installed("gungraun-runner") {
        cases::run();
    } else {
        println!("skipped: valgrind or gungraun-runner is not installed");
    }
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

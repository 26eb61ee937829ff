//! CPU time of the Redis server for a decision, compared with a plain GCRA script.

use std::time::Duration;

use futures_util::future::join_all;
use redis::Cmd;
use tower_keep::{Keep, rate_limit::Quota, table::Algorithm};

use super::{
    recorded_call::{QUOTA, recorded_call},
    servers::RedisServer,
    support::raw::Raw,
};

const ROUNDS: usize = 7;
const BATCHES: usize = 50;
const IN_FLIGHT: usize = 64;

/// A script with its arguments. The key is the fourth word.
struct ScriptCall {
    name: &'static str,
    words: Vec<Vec<u8>>,
    /// How many subjects are used in turn.
    subjects: usize,
    micros: Vec<f64>,
}

pub(super) async fn compare(server: &RedisServer, keep: &Keep, raw: &Raw, names: &[String]) {
    let mut calls = vec![plain_gcra(server)];
    for (name, quota) in [
        ("sliding window", QUOTA),
        ("fixed window", QUOTA.counted_by(Algorithm::FixedWindow)),
        ("GCRA, exact", QUOTA.counted_by(Algorithm::Gcra)),
    ] {
        let words = recorded_call(server, keep, quota).await;
        calls.push(ScriptCall::new(name, words));
    }
    // At the rate at which these few subjects are used, their windows are full.
    for (name, limit, millis) in [
        ("sliding window of 5, busy", 5, 4),
        ("sliding window of 100, busy", 100, 80),
        ("sliding window of 10,000, busy", 10_000, 1_000),
    ] {
        let quota = Quota::new(limit, Duration::from_millis(millis)).expect("in range");
        let words = recorded_call(server, keep, quota).await;
        let mut call = ScriptCall::new(name, words);
        call.subjects = 50;
        calls.push(call);
    }
    for _ in 0..ROUNDS {
        for call in &mut calls {
            let micros = measure(server, raw, call, names).await;
            call.micros.push(micros);
        }
    }
    println!("\nCPU of the Redis server for a decision (goal: less than a plain GCRA script)");
    let floor = calls[0].median();
    for call in &mut calls {
        let micros = call.median();
        let (name, ratio) = (call.name, micros / floor);
        println!("  {name:<46} {micros:>8.2} us {ratio:>5.2} x");
    }
}

fn plain_gcra(server: &RedisServer) -> ScriptCall {
    let digest = server.command(&["SCRIPT", "LOAD", include_str!("gcra.lua")]);
    let words = ["EVALSHA", &digest.text(), "1", "", "1", "1000000", "1"];
    let words = words.map(|word| word.as_bytes().to_vec());
    ScriptCall::new("plain GCRA", words.into())
}

/// Microseconds per call, as measured by the server.
async fn measure(server: &RedisServer, raw: &Raw, call: &ScriptCall, names: &[String]) -> f64 {
    server.command(&["CONFIG", "RESETSTAT"]);
    let mut names = names.iter().take(call.subjects).cycle();
    for _ in 0..BATCHES {
        let batch = names.by_ref().take(IN_FLIGHT);
        join_all(batch.map(|name| raw.send(call.command(name)))).await;
    }
    let stats = server.command(&["INFO", "commandstats"]).text();
    let line = stats.lines().find(|l| l.starts_with("cmdstat_evalsha:"));
    let (_, micros) = line
        .and_then(|line| line.split_once("usec_per_call="))
        .expect("calls were made");
    let micros = micros.split(',').next().unwrap_or_default();
    micros.parse().expect("a number")
}

impl ScriptCall {
    fn new(name: &'static str, words: Vec<Vec<u8>>) -> Self {
        Self {
            name,
            words,
            subjects: usize::MAX,
            micros: Vec::new(),
        }
    }

    fn command(&self, subject: &str) -> Cmd {
        let mut cmd = Cmd::new();
        let key = [self.name, ":{", subject, "}"].concat();
        cmd.arg(&self.words[..3]).arg(key).arg(&self.words[4..]);
        cmd
    }

    fn median(&mut self) -> f64 {
        self.micros.sort_by(f64::total_cmp);
        self.micros[self.micros.len() / 2]
    }
}

//! Decisions in Redis beside a raw `EVALSHA` of the same script.

use std::sync::Arc;

use redis::Cmd;
use tokio::runtime::Builder;
use tower_keep::{Keep, Key, Table, rate_limit::Quota};

use super::{
    server,
    servers::{RedisServer, Reply},
    subjects,
    support::{Load, beside, probing, raw::Raw, shared},
};

pub(super) const QUOTA: Quota = Quota::per_second(1_000_000_000);

pub(crate) fn run() {
    if probing() {
        return;
    }
    // One thread for us, the other core for the server.
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(compare());
}

async fn compare() {
    let server = RedisServer::start();
    let keep = shared::keep(&server.url(), Table::new()).await;
    let call = recorded(&server, &keep, QUOTA).await;
    let raw = Raw::connect(&server.url()).await;
    let names: Arc<[String]> = (0..subjects()).map(|i| format!("user-{i:08}")).collect();
    for in_flight in [64, 256] {
        let title = "a decision in Redis (goal: 95 % of raw EVALSHA)";
        let loads = [evalsha(&raw, &call, &names), decision(&keep, &names)];
        beside(title, in_flight, &loads).await;
    }
    server::compare(&server, &keep, &raw, &names).await;
}

/// What one decision sends, as the server saw it: script, key and arguments.
pub(super) async fn recorded(server: &RedisServer, keep: &Keep, quota: Quota) -> Vec<Vec<u8>> {
    keep.rate_limit(&Key::new("api").id("first"), quota).await;
    server.command(&["SLOWLOG", "RESET"]);
    server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    keep.rate_limit(&Key::new("api").id("second"), quota).await;
    let log = server.command(&["SLOWLOG", "GET", "-1"]);
    server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
    let Reply::Array(entries) = log else {
        panic!("no slow log: {log:?}");
    };
    let commands = entries.into_iter().filter_map(|entry| match entry {
        Reply::Array(fields) => fields.into_iter().nth(3),
        _ => None,
    });
    let words = |command| match command {
        Reply::Array(words) => words.into_iter().map(bytes).collect(),
        _ => Vec::new(),
    };
    let mut calls = commands.map(words);
    calls
        .find(|words: &Vec<Vec<u8>>| words.len() > 3 && words[3].ends_with(b"{second}"))
        .expect("one decision is one command")
}

fn bytes(word: Reply) -> Vec<u8> {
    match word {
        Reply::Bulk(bytes) => bytes,
        other => other.text().into_bytes(),
    }
}

fn evalsha(raw: &Raw, call: &[Vec<u8>], names: &Arc<[String]>) -> Load<'static> {
    let (raw, names) = (raw.clone(), Arc::clone(names));
    let call: Arc<[Vec<u8>]> = call.into();
    Load::new("raw EVALSHA", move |i| {
        let raw = raw.clone();
        let key = ["ratelimit:api:{", &names[i as usize % names.len()], "}"].concat();
        let mut command = Cmd::new();
        command.arg(&call[..3]).arg(key).arg(&call[4..]);
        async move {
            raw.send(command).await;
        }
    })
}

fn decision(keep: &Keep, names: &Arc<[String]>) -> Load<'static> {
    let (keep, names) = (keep.clone(), Arc::clone(names));
    Load::new("Keep::rate_limit", move |i| {
        let keep = keep.clone();
        let key = Key::new("api").id(&names[i as usize % names.len()]);
        async move {
            assert!(keep.rate_limit(&key, QUOTA).await.allowed());
        }
    })
}

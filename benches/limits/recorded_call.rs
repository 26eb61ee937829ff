//! The script call of a decision, recorded by Redis' slow log.

use tower_keep::{Keep, Key, rate_limit::Quota};

use super::servers::{RedisServer, Reply};

pub(crate) const QUOTA: Quota = Quota::per_second(1_000_000_000);

/// The command that one decision sends, as recorded by the server: script, key and arguments.
pub(crate) async fn recorded_call(server: &RedisServer, keep: &Keep, quota: Quota) -> Vec<Vec<u8>> {
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
        .expect("a decision is one command")
}

fn bytes(word: Reply) -> Vec<u8> {
    match word {
        Reply::Bulk(bytes) => bytes,
        other => other.text().into_bytes(),
    }
}

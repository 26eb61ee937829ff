//! Checks that the ACL allows every command that the store needs.

use redis::{Cmd, ErrorKind, ServerErrorKind, aio::MultiplexedConnection};

use super::server::send;
use crate::error::{Error, Kind};

/// Every command that the store sends or its scripts call, with the right number of arguments.
const NEEDED: &[&[&str]] = &[
    &["GET", KEY],
    &["GETRANGE", KEY, "0", "0"],
    &["MGET", KEY],
    &["SETRANGE", KEY, "0", ""],
    &["SET", KEY, "", "PX", "1"],
    &["INCRBY", KEY, "1"],
    &["PEXPIRE", KEY, "1"],
    &["UNLINK", KEY],
    &["PTTL", KEY],
    &["SCAN", "0"],
    &["EVAL", "return 0", "1", KEY],
    &["EVALSHA", DIGEST, "1", KEY],
    &["TIME"],
    &["INFO", "replication"],
    &["PUBLISH", KEY, ""],
    &["TYPE", KEY],
    &["HGET", KEY, ""],
    &["HMGET", KEY, ""],
    &["HSET", KEY, "", ""],
    &["HDEL", KEY, ""],
    &["HGETALL", KEY],
    &["ZADD", KEY, "0", ""],
    &["ZREM", KEY, ""],
    &["ZSCORE", KEY, ""],
    &["ZCARD", KEY],
    &["ZRANGE", KEY, "0", "0"],
    &["ZRANGEBYSCORE", KEY, "0", "0"],
    &["ZCOUNT", KEY, "0", "0"],
    &["HEXISTS", KEY, ""],
    &["HINCRBY", KEY, "", "0"],
    &["HKEYS", KEY],
    &["HLEN", KEY],
    &["HSETNX", KEY, "", ""],
    &["HSTRLEN", KEY, ""],
    &["LINDEX", KEY, "0"],
    &["LLEN", KEY],
    &["LPOP", KEY],
    &["LPUSH", KEY, ""],
    &["LRANGE", KEY, "0", "0"],
    &["RPOP", KEY],
    &["RPUSH", KEY, ""],
    &["XADD", KEY, "*", "", ""],
    &["XRANGE", KEY, "-", "+"],
    &["XREAD", "STREAMS", KEY, "0"],
];

/// The names of the commands that the ACL must allow.
#[cfg(test)]
pub(super) fn needed_commands() -> impl Iterator<Item = &'static str> {
    NEEDED.iter().map(|command| command[0])
}

const KEY: &str = "tower-keep:{probe}";
const DIGEST: &str = "0000000000000000000000000000000000000000";

/// Queues each command in a transaction that is then discarded: Redis checks permissions when a
/// command is queued.
///
/// Does not check which keys the user may touch, as the namespace is not known yet. Checks nothing
/// if the user may not run `MULTI`: a forbidden command then fails when it is used.
///
/// # Errors
///
/// A refusal that names every forbidden command.
pub(super) async fn check(connection: &mut MultiplexedConnection) -> Result<(), Error> {
    if send(connection, Cmd::new().arg("MULTI")).await.is_err() {
        return Ok(());
    }
    let mut missing = Vec::new();
    for command in NEEDED {
        let reply = send(connection, Cmd::new().arg(*command)).await;
        if let Err(error) = reply
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
            && error.detail().unwrap_or_default().contains("command")
        {
            missing.push(command[0]);
        }
    }
    // A failure does not matter: the connection is closed next, which ends the transaction.
    let _ = send(connection, Cmd::new().arg("DISCARD")).await;
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(Error::new(
        Kind::Refused,
        format!("the redis user may not run {missing}: its ACL must allow these commands"),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Calls `visit` with the text of every Lua script below `dir`.
    fn scripts(dir: &Path, visit: &mut impl FnMut(&str)) {
        for file in std::fs::read_dir(dir).expect("a directory") {
            let path = file.expect("a file").path();
            if path.is_dir() {
                scripts(&path, visit);
            } else if path.extension().is_some_and(|end| end == "lua") {
                visit(&std::fs::read_to_string(&path).expect("text"));
            }
        }
    }

    #[test]
    fn every_command_of_the_scripts_is_checked() {
        let mut calls = 0;
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        scripts(&src, &mut |text| {
            let text = text.replace('"', "'");
            for call in text.split("call('").skip(1) {
                let name = call.split('\'').next().expect("a part").to_uppercase();
                assert!(
                    needed_commands().any(|needed| needed == name),
                    "{name} is not in NEEDED"
                );
                calls += 1;
            }
        });
        assert!(calls > 5, "the scripts were found");
    }
}

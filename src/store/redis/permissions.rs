//! May this user run what we need?

use redis::{Cmd, ErrorKind, ServerErrorKind, aio::MultiplexedConnection};

use super::link::ask;
use crate::error::{Error, Kind};

/// Commands that every keep sends or its scripts call, with arguments of the right number.
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
    &["ZREMRANGEBYSCORE", KEY, "0", "0"],
    &["XADD", KEY, "*", "", ""],
    &["XRANGE", KEY, "-", "+"],
    &["XREAD", "STREAMS", KEY, "0"],
];

/// Names of the commands that a user of ours must be allowed.
#[cfg(test)]
pub(super) fn needed() -> impl Iterator<Item = &'static str> {
    NEEDED.iter().map(|command| command[0])
}

const KEY: &str = "tower-keep:{probe}";
const DIGEST: &str = "0000000000000000000000000000000000000000";

/// Asks the server whether it would run each command, by queueing all of them in a transaction that
/// is then discarded: permissions are checked when a command is queued.
///
/// Which keys the user may touch is not asked: the namespace is not known yet. A user who may not
/// `MULTI` is not asked either; what is forbidden then shows when it is used.
///
/// # Errors
///
/// A refusal that names every command that is forbidden.
pub(super) async fn check(connection: &mut MultiplexedConnection) -> Result<(), Error> {
    if ask(connection, Cmd::new().arg("MULTI")).await.is_err() {
        return Ok(());
    }
    let mut missing: Vec<String> = Vec::new();
    for command in NEEDED {
        let mut cmd = Cmd::new();
        for argument in *command {
            cmd.arg(*argument);
        }
        if let Err(error) = ask(connection, &cmd).await
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
            && error
                .detail()
                .is_some_and(|detail| detail.contains("command"))
        {
            missing.push(command[0].to_owned());
        }
    }
    // The connection is dropped after this, and with it the transaction.
    let _ = ask(connection, Cmd::new().arg("DISCARD")).await;
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

    /// Calls `see` with the text of every Lua script below `dir`.
    fn scripts(dir: &Path, see: &mut impl FnMut(&str)) {
        for file in std::fs::read_dir(dir).expect("a directory") {
            let path = file.expect("a file").path();
            if path.is_dir() {
                scripts(&path, see);
            } else if path.extension().is_some_and(|end| end == "lua") {
                see(&std::fs::read_to_string(&path).expect("text"));
            }
        }
    }

    #[test]
    fn what_scripts_call_is_asked_for() {
        let mut calls = 0;
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        scripts(&src, &mut |text| {
            let text = text.replace('"', "'");
            for call in text.split("call('").skip(1) {
                let name = call.split('\'').next().expect("a part").to_uppercase();
                assert!(
                    needed().any(|needed| needed == name),
                    "{name} is not asked for"
                );
                calls += 1;
            }
        });
        assert!(calls > 5, "the scripts were found");
    }
}

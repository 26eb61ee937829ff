//! Maps errors of the Redis client to the crate's error.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::command::Command;
use crate::error::{Error, Kind};

/// Whether an error is an outage, which opens the breaker: there was no reply, or one that asks the
/// client to retry later.
pub(super) fn is_outage(error: &RedisError) -> bool {
    kind(error) == Kind::Unavailable
}

/// Classifies an error as an outage, a refusal or an unreadable reply.
pub(super) fn kind(error: &RedisError) -> Kind {
    match error.kind() {
        ErrorKind::InvalidClientConfig => Kind::Config,
        ErrorKind::AuthenticationFailed => Kind::Refused,
        ErrorKind::UnexpectedReturnType => Kind::Corrupt,
        // A TLS handshake that failed because of the certificate, or a server without TLS.
        ErrorKind::Io if is_invalid_data(error) => Kind::Refused,
        ErrorKind::Server(server) => server_kind(server, error),
        // `WRONGTYPE` is one of the codes that the client does not know.
        ErrorKind::Extension => kind_by_code(error),
        _ => Kind::Unavailable,
    }
}

/// The error of a command that Redis did not execute.
pub(super) fn command_failed(command: Command, cause: RedisError) -> Error {
    let kind = kind(&cause);
    let command = command.as_str();
    let message = match kind {
        Kind::Refused => format!("redis refused {command}: {}", reason(&cause)),
        Kind::Corrupt => format!("{command} found a value of another type in redis"),
        _ => format!("redis did not answer {command}: {}", reason(&cause)),
    };
    Error::new(kind, message).with_hidden_cause(cause)
}

/// The error of a command whose reply did not come in time.
pub(super) fn command_timed_out(command: Command, after: Duration) -> Error {
    let command = command.as_str();
    Error::unavailable(format!("redis did not answer {command} within {after:?}"))
}

/// The error of an attempt to connect. Names the server, never the URL, which may hold a password.
pub(super) fn connect_failed(server: &str, cause: RedisError) -> Error {
    let (kind, reason) = (kind(&cause), reason(&cause));
    let message = match kind {
        Kind::Refused => format!("redis at {server} refused the connection: {reason}"),
        Kind::Config => format!("the address of redis at {server} is wrong: {reason}"),
        _ => format!("redis at {server} cannot be reached: {reason}"),
    };
    Error::new(kind, message).with_hidden_cause(cause)
}

/// The error of a URL that cannot be parsed.
pub(super) fn invalid_url(cause: RedisError) -> Error {
    Error::config(format!("the redis URL is wrong: {}", reason(&cause))).with_hidden_cause(cause)
}

/// The error reply of Redis, or the reason why there is no reply.
pub(super) fn reason(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

fn server_kind(server: ServerErrorKind, error: &RedisError) -> Kind {
    match server {
        ServerErrorKind::BusyLoading
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::TryAgain
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask => Kind::Unavailable,
        _ => kind_by_code(error),
    }
}

fn kind_by_code(error: &RedisError) -> Kind {
    let detail = error.detail().unwrap_or_default();
    match error.code() {
        Some("WRONGTYPE") => Kind::Corrupt,
        Some("BUSY" | "MASTERDOWN") => Kind::Unavailable,
        _ if detail.contains("max number of clients") => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

fn is_invalid_data(error: &RedisError) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn StdError + Send + Sync>>())
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        value
            .and_then(redis::Value::extract_error)
            .expect_err("an error reply")
    }

    #[test]
    fn error_replies_are_classified() {
        for (line, expected) in [
            (
                "LOADING Redis is loading the dataset in memory",
                Kind::Unavailable,
            ),
            ("CLUSTERDOWN Hash slot not served", Kind::Unavailable),
            ("MASTERDOWN Link with MASTER is down", Kind::Unavailable),
            (
                "TRYAGAIN Multiple keys request during rehashing",
                Kind::Unavailable,
            ),
            ("MOVED 42 127.0.0.1:1", Kind::Unavailable),
            ("ASK 42 127.0.0.1:1", Kind::Unavailable),
            ("BUSY Redis is busy running a script", Kind::Unavailable),
            ("ERR max number of clients reached", Kind::Unavailable),
            (
                "READONLY You can't write against a read only replica.",
                Kind::Refused,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                Kind::Refused,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Kind::Refused,
            ),
            ("NOAUTH Authentication required.", Kind::Refused),
            (
                "NOPERM this user has no permissions to run the 'get' command",
                Kind::Refused,
            ),
            ("ERR unknown command", Kind::Refused),
            ("WRONGTYPE Operation against a key", Kind::Corrupt),
        ] {
            assert_eq!(kind(&reply(line)), expected, "{line}");
        }
    }

    #[test]
    fn a_refusal_names_the_command() {
        let error = command_failed(
            Command::Get,
            reply("NOPERM this user has no permissions to run the 'get' command"),
        );
        assert_eq!(
            error.to_string(),
            "redis refused get: NOPERM this user has no permissions to run the 'get' command"
        );
    }
}

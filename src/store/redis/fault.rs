//! What an error of Redis means to us.

use std::{error::Error as StdError, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::verb::Verb;
use crate::error::{Error, Kind};

/// True if no answer came, or one that says to come back later: an outage, which opens the breaker.
pub(super) fn is_outage(error: &RedisError) -> bool {
    kind(error) == Kind::Unavailable
}

/// Tells an outage from a refusal and both from what cannot be read.
pub(super) fn kind(error: &RedisError) -> Kind {
    match error.kind() {
        ErrorKind::InvalidClientConfig => Kind::Config,
        ErrorKind::AuthenticationFailed => Kind::Refused,
        ErrorKind::UnexpectedReturnType => Kind::Corrupt,
        // A handshake of TLS that failed for the certificate's sake, or something that is not TLS.
        ErrorKind::Io if is_invalid_data(error) => Kind::Refused,
        ErrorKind::Server(server) => server_kind(server, error),
        // `WRONGTYPE` is one of the codes that the client does not know.
        ErrorKind::Extension => coded(error),
        _ => Kind::Unavailable,
    }
}

pub(super) fn error(verb: Verb, cause: RedisError) -> Error {
    let kind = kind(&cause);
    let verb = verb.as_str();
    let message = match kind {
        Kind::Refused => format!("redis refused {verb}: {}", reason(&cause)),
        Kind::Corrupt => format!("redis holds something else where {verb} looked"),
        _ => format!("redis did not answer {verb}"),
    };
    Error::new(kind, message).with_source(cause)
}

/// An error of connecting: says what is wrong and where, never the URL, which may hold a password.
pub(super) fn connecting(server: &str, cause: RedisError) -> Error {
    let kind = kind(&cause);
    let message = match kind {
        Kind::Refused => format!(
            "redis at {server} refused the connection: {}",
            reason(&cause)
        ),
        Kind::Config => format!(
            "the address of redis at {server} is wrong: {}",
            reason(&cause)
        ),
        _ => format!("redis at {server} cannot be reached"),
    };
    Error::new(kind, message).with_source(cause)
}

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
        _ => coded(error),
    }
}

fn coded(error: &RedisError) -> Kind {
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
    fn replies_mean_what_they_say() {
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
        let error = error(
            Verb::Get,
            reply("NOPERM this user has no permissions to run the 'get' command"),
        );
        assert_eq!(
            error.to_string(),
            "redis refused get: NOPERM this user has no permissions to run the 'get' command"
        );
    }
}

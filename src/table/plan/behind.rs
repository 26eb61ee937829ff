//! The compiled settings of write-behind.

use std::time::Duration;

use crate::{
    key::path,
    table::{
        behind::{AfterDead, Behind},
        problem::{FieldProblem, Location, TableProblem},
        quantities,
    },
    write_queue::Durability,
};

/// The compiled `[behind]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BehindPlan {
    /// The path below which the status of each write is; without a slash at its end.
    pub(crate) status_path: Box<str>,
    /// The most writes that have not ended, of all keys and of one.
    pub(crate) max_queue: u64,
    pub(crate) max_per_key: u64,
    /// The most bytes of writes, answers and dead letters.
    pub(crate) max_bytes: u64,
    /// The longest content of a write, in bytes.
    pub(crate) max_body: u64,
    /// How often a write is tried, and for how long from its first attempt on.
    pub(crate) attempts: u32,
    pub(crate) max_age: Duration,
    /// The pause after the first failed attempt; it doubles up to `max_backoff`.
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
    /// Whether a dead letter stops its key.
    pub(crate) hold_after_dead: bool,
    /// How long the status of an ended write is kept, and how much of its answer's body.
    pub(crate) keep_result: Duration,
    pub(crate) keep_body: u64,
    /// How long an idempotency key is kept after the end of its write.
    pub(crate) idempotency: Duration,
    /// How many dead letters are kept, how many bytes of them, and for how long.
    pub(crate) max_dead: u64,
    pub(crate) max_dead_bytes: u64,
    pub(crate) dead_age: Duration,
    pub(crate) durable: Durability,
    /// Whether a keep without Redis queues writes in memory. Otherwise it applies each at once.
    pub(crate) volatile: bool,
}

impl BehindPlan {
    /// Compiles the settings, and reports those that are invalid.
    pub(super) fn compile(settings: &Behind, problems: &mut Vec<TableProblem>) -> Self {
        let invalid = invalid_settings(settings).into_iter();
        problems.extend(invalid.map(|(name, message)| {
            TableProblem::new(Location::Section("behind", name.to_owned()), message)
        }));
        Self::of(settings)
    }

    fn of(settings: &Behind) -> Self {
        Self {
            status_path: settings.status_path.as_str().into(),
            max_queue: settings.max_queue,
            max_per_key: settings.max_per_key,
            max_bytes: settings.max_bytes,
            max_body: settings.max_body,
            attempts: settings.attempts,
            max_age: settings.max_age,
            backoff: settings.backoff,
            max_backoff: settings.max_backoff,
            hold_after_dead: settings.after_dead == AfterDead::Hold,
            keep_result: settings.keep_result,
            keep_body: settings.keep_body,
            idempotency: settings.idempotency,
            max_dead: settings.max_dead,
            max_dead_bytes: settings.max_dead_bytes,
            dead_age: settings.dead_age,
            durable: settings.durable,
            volatile: settings.volatile,
        }
    }
}

impl Default for BehindPlan {
    fn default() -> Self {
        Self::of(&Behind::new())
    }
}

/// Reports a `max_lag` that is too long for a table with write-behind: for so long after the end of an
/// attempt, a process may use a response from before it.
pub(super) fn check_max_lag(max_lag: Duration) -> Option<TableProblem> {
    (max_lag > LONGEST_LAG).then(|| {
        let location = Location::Section("store", "max_lag".to_owned());
        let message = "with a route that has write = \"behind\" it must be at most 30s, because the queue remembers for a minute when the last write of a key was applied; write \"30s\" or less";
        TableProblem::new(location, message)
    })
}

/// Half of the time for which the queue remembers the end of a key's last attempt.
const LONGEST_LAG: Duration = Duration::from_secs(30);

fn invalid_settings(settings: &Behind) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if let Err(message) = check_status_path(&settings.status_path) {
        problems.push(("status_path", message));
    }
    problems.extend(zeros(settings));
    problems.extend(overlong_times(settings));
    if settings.max_backoff < settings.backoff {
        let (backoff, max) = (settings.backoff, settings.max_backoff);
        let (backoff, max) = (quantities::text(backoff), quantities::text(max));
        let message = format!(
            "{max} is shorter than backoff, {backoff}; write at least \"{backoff}\", or a shorter backoff"
        );
        problems.push(("max_backoff", message));
    }
    if settings.durable == Durability::Replicas(0) {
        let message = "0 replicas promise no more than \"memory\"; write that, or \"replicas:1\"";
        problems.push(("durable", message.to_owned()));
    }
    problems
}

fn check_status_path(status_path: &str) -> Result<(), String> {
    if status_path.is_empty() || status_path == "/" {
        return Err(format!(
            "{status_path:?} would be the status of writes on every path; write \"/writes\""
        ));
    }
    if !status_path.starts_with('/') {
        return Err(format!(
            "{status_path:?} does not begin with a slash; write \"/{status_path}\""
        ));
    }
    if status_path.contains(['{', '}', '*']) {
        return Err(format!(
            "{status_path:?} has a parameter; write a path without any, as \"/writes\": the id of the write is added to it"
        ));
    }
    let bare = status_path.trim_end_matches('/');
    if bare.len() < status_path.len() {
        return Err(format!("{status_path:?} ends with a slash; write {bare:?}"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !status_path.bytes().all(is_plain) || path::is_ambiguous(status_path) {
        return Err(format!(
            "{status_path:?} is not a plain path; write letters, digits, `-`, `.`, `_` and `~` between single slashes, as \"/status/writes\""
        ));
    }
    Ok(())
}

/// Reports zeros that would refuse or give up every write, or lose those that were given up.
fn zeros(settings: &Behind) -> Vec<FieldProblem> {
    let is_zero = |time: Duration| time.as_millis() == 0;
    let checks = [
        (settings.max_queue == 0, "max_queue", "10000"),
        (settings.max_per_key == 0, "max_per_key", "100"),
        (settings.max_bytes == 0, "max_bytes", "\"64MiB\""),
        (settings.max_body == 0, "max_body", "\"1MiB\""),
        (settings.attempts == 0, "attempts", "25"),
        (is_zero(settings.max_age), "max_age", "\"24h\""),
        (is_zero(settings.backoff), "backoff", "\"1s\""),
        (is_zero(settings.max_backoff), "max_backoff", "\"10m\""),
        (settings.max_dead == 0, "max_dead", "10000"),
        (settings.max_dead_bytes == 0, "max_dead_bytes", "\"16MiB\""),
        (is_zero(settings.dead_age), "dead_age", "\"30d\""),
    ];
    let zeros = checks.into_iter().filter(|(is_zero, ..)| *is_zero);
    zeros
        .map(|(_, name, example)| (name, format!("must be greater than 0; write {example}")))
        .collect()
}

/// Reports times beyond those that a table in TOML can have.
fn overlong_times(settings: &Behind) -> Vec<FieldProblem> {
    let times = [
        ("max_age", settings.max_age),
        ("backoff", settings.backoff),
        ("max_backoff", settings.max_backoff),
        ("keep_result", settings.keep_result),
        ("idempotency", settings.idempotency),
        ("dead_age", settings.dead_age),
    ];
    let checked = times.into_iter().map(|(name, time)| {
        let checked = quantities::check_length(time);
        checked.map_err(|message| (name, message))
    });
    checked.filter_map(Result::err).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_path_is_plain() {
        for path in ["/writes", "/api/v1/writes", "/a-b_c.d~e"] {
            assert_eq!(check_status_path(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "/",
            "//",
            "writes",
            "/writes/",
            "/writes//",
            "/{id}",
            "/a*",
            "/a//b",
            "/a/../b",
            "/./a",
            "/a b",
            "/a?b",
            "/a#b",
            "/a%20b",
            "/a\\b",
            "/\u{e9}",
            "/a;b",
            "//a",
        ] {
            assert!(check_status_path(path).is_err(), "{path}");
        }
    }
}

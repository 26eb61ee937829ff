use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::quantities::{self, days, hours, mins, secs};
use crate::write_queue::Durability;

/// `[behind]`: the queue of writes that are accepted at once and applied later.
///
/// The routes that have such writes say [`Write::Behind`](crate::table::Write::Behind).
///
/// ```
/// use tower_keep::{Table, table::{Behind, Route, Write, hours}, write_behind::Durability};
///
/// let table = Table::new()
///     .host("api.example.com")
///     .behind(Behind::new().max_age(hours(6)).durable(Durability::Replicas(1)))
///     .route(Route::new("/agents/{id}/status").key("agent:{id}:status").write(Write::Behind));
/// # table.validate()?;
/// # assert!(table.check().is_empty());
/// # Ok::<(), tower_keep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Behind {
    pub(crate) status_path: String,
    pub(crate) max_queue: u64,
    pub(crate) max_per_key: u64,
    #[serde(deserialize_with = "quantities::size")]
    pub(crate) max_bytes: u64,
    #[serde(deserialize_with = "quantities::size")]
    pub(crate) max_body: u64,
    pub(crate) attempts: u32,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) max_age: Duration,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) backoff: Duration,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) max_backoff: Duration,
    pub(crate) after_dead: AfterDead,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) keep_result: Duration,
    #[serde(deserialize_with = "quantities::size")]
    pub(crate) keep_body: u64,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) idempotency: Duration,
    pub(crate) max_dead: u64,
    #[serde(deserialize_with = "quantities::size")]
    pub(crate) max_dead_bytes: u64,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) dead_age: Duration,
    #[serde(deserialize_with = "durability")]
    pub(crate) durable: Durability,
    pub(crate) volatile: bool,
}

impl Behind {
    /// Up to 10,000 writes in 64 MiB; 25 attempts within 24 hours; [`Durability::Memory`]. Each setter
    /// names its default.
    pub fn new() -> Self {
        Self {
            status_path: "/writes".to_owned(),
            max_queue: 10_000,
            max_per_key: 100,
            max_bytes: 64 << 20,
            max_body: 1 << 20,
            attempts: 25,
            max_age: hours(24),
            backoff: secs(1),
            max_backoff: mins(10),
            after_dead: AfterDead::Continue,
            keep_result: hours(1),
            keep_body: 64 << 10,
            idempotency: hours(24),
            max_dead: 10_000,
            max_dead_bytes: 16 << 20,
            dead_age: days(30),
            durable: Durability::Memory,
            volatile: false,
        }
    }

    /// The path below which the status of each write is, as `/writes/{id}`: `/writes` by default.
    /// Without parameters, and without a slash at its end.
    pub fn status_path(mut self, path: impl Into<String>) -> Self {
        self.status_path = path.into();
        self
    }

    /// The most writes that have not ended; 10,000 by default. Beyond it, writes are refused with 503.
    ///
    /// On a Cluster, the queue has 16 partitions, and each has a sixteenth of this and of
    /// [`max_bytes`](Self::max_bytes).
    pub fn max_queue(mut self, writes: u64) -> Self {
        self.max_queue = writes;
        self
    }

    /// The most writes of one key that have not ended; 100 by default. Beyond it, writes of this key are
    /// refused with 503.
    pub fn max_per_key(mut self, writes: u64) -> Self {
        self.max_per_key = writes;
        self
    }

    /// The most bytes of all that the queue holds: writes that have not ended, answers and dead letters;
    /// 64 MiB by default. Beyond it, writes are refused with 503.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The longest content of a write, in bytes; 1 MiB by default. Longer content is refused with 413.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// How often a write is tried before it is given up; 25 by default.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long after its first attempt a failing write is given up; 24 hours by default. The time that it
    /// waits before its first attempt does not count.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// The longest pause after a write's first failed attempt; 1 second by default. It doubles with each
    /// further one, up to [`max_backoff`](Self::max_backoff), and each pause is shortened at random.
    pub fn backoff(mut self, pause: Duration) -> Self {
        self.backoff = pause;
        self
    }

    /// The longest pause between two attempts, if the service does not ask for a longer one by
    /// `Retry-After`; 10 minutes by default.
    pub fn max_backoff(mut self, pause: Duration) -> Self {
        self.max_backoff = pause;
        self
    }

    /// What happens to a key when one of its writes is given up; by default, its later writes are applied.
    pub fn after_dead(mut self, after: AfterDead) -> Self {
        self.after_dead = after;
        self
    }

    /// How long the status of a write, and the answer to it, are kept after its end; 1 hour by default. With
    /// zero they are not kept.
    pub fn keep_result(mut self, time: Duration) -> Self {
        self.keep_result = time;
        self
    }

    /// The most bytes of an answer's body that are kept; 64 KiB by default. With zero, no body is kept.
    pub fn keep_body(mut self, bytes: u64) -> Self {
        self.keep_body = bytes;
        self
    }

    /// How long an `Idempotency-Key` is remembered after the end of its write; 24 hours by default. With
    /// zero it is remembered only until that end.
    pub fn idempotency(mut self, time: Duration) -> Self {
        self.idempotency = time;
        self
    }

    /// The most dead letters, which are the writes that were given up; 10,000 by default. Beyond it, the
    /// oldest are removed.
    pub fn max_dead(mut self, letters: u64) -> Self {
        self.max_dead = letters;
        self
    }

    /// The most bytes of dead letters; 16 MiB by default. Beyond it, the oldest are removed.
    pub fn max_dead_bytes(mut self, bytes: u64) -> Self {
        self.max_dead_bytes = bytes;
        self
    }

    /// How long dead letters are kept; 30 days by default.
    pub fn dead_age(mut self, age: Duration) -> Self {
        self.dead_age = age;
        self
    }

    /// What must have happened in Redis before a write counts as accepted; [`Durability::Memory`] by
    /// default. In a table, it is written `"memory"`, `"fsync"` or `"replicas:N"`.
    pub fn durable(mut self, durability: Durability) -> Self {
        self.durable = durability;
        self
    }

    /// Whether a keep without Redis queues writes in memory, where the end of the process loses them. By
    /// default it queues nothing: it applies each write at once, and answers with the result.
    pub fn volatile(mut self, yes: bool) -> Self {
        self.volatile = yes;
        self
    }
}

impl Default for Behind {
    fn default() -> Self {
        Self::new()
    }
}

/// What happens to a key when one of its writes is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AfterDead {
    /// Its later writes are applied.
    #[default]
    Continue,
    /// Its later writes wait until somebody retries or deletes the dead letter, or until the letter is removed
    /// by its bounds: [`dead_age`](Behind::dead_age), [`max_dead`](Behind::max_dead) and
    /// [`max_dead_bytes`](Behind::max_dead_bytes).
    Hold,
}

/// Reads `"memory"`, `"fsync"` or `"replicas:N"`.
fn durability<'de, D: Deserializer<'de>>(d: D) -> Result<Durability, D::Error> {
    let text = String::deserialize(d)?;
    parse_durability(&text).map_err(de::Error::custom)
}

fn parse_durability(text: &str) -> Result<Durability, String> {
    match text {
        "memory" => return Ok(Durability::Memory),
        "fsync" => return Ok(Durability::Fsync),
        _ => {}
    }
    let Some(replicas) = text.strip_prefix("replicas:") else {
        return Err(format!(
            "{text:?} is not a durability; write \"memory\", \"fsync\" or \"replicas:1\""
        ));
    };
    match replicas.parse() {
        // `plan::behind` rejects zero.
        Ok(replicas) => Ok(Durability::Replicas(replicas)),
        Err(_) => Err(format!(
            "{replicas:?} is not a number of replicas; write \"replicas:1\", or up to 255"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durabilities_are_parsed() {
        for (text, durability) in [
            ("memory", Durability::Memory),
            ("fsync", Durability::Fsync),
            ("replicas:1", Durability::Replicas(1)),
            ("replicas:255", Durability::Replicas(255)),
        ] {
            assert_eq!(parse_durability(text), Ok(durability), "{text}");
        }
        for bad in [
            "",
            "Memory",
            "replicas",
            "replicas:",
            "replicas:256",
            "replicas:-1",
            "replicas:two",
        ] {
            assert!(parse_durability(bad).is_err(), "{bad}");
        }
    }
}

//! Parses durations, sizes and shares, which the table writes as text or as numbers.

use std::{fmt, time::Duration};

use serde::{Deserializer, de};

/// A duration of `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A duration of `n` minutes.
#[must_use]
pub const fn mins(n: u64) -> Duration {
    secs(n.saturating_mul(60))
}

/// A duration of `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    mins(n.saturating_mul(60))
}

/// A duration of `n` days.
#[must_use]
pub const fn days(n: u64) -> Duration {
    hours(n.saturating_mul(24))
}

/// `"never"`: as long as the table's `max` allows.
pub(crate) const NEVER: Duration = Duration::MAX;

/// Parses `30m`, `1h30m` or `50ms`: numbers with units in descending order.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || {
        format!(
            "{text:?} is not a duration; write \"30m\", \"1h30m\", \"50ms\" or a whole number of seconds (units: d, h, m, s, ms)"
        )
    };
    let mut total = Duration::ZERO;
    let mut previous = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit());
        let (_, millis) = UNITS
            .iter()
            .find(|(name, millis)| *name == unit && *millis < previous)
            .ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        total = number
            .checked_mul(*millis)
            .and_then(|part| total.checked_add(Duration::from_millis(part)))
            .ok_or_else(|| too_long(text))?;
        (previous, rest) = (*millis, after);
    }
    match (text.is_empty(), total > LONGEST) {
        (true, _) => Err(bad()),
        (_, true) => Err(too_long(text)),
        _ => Ok(total),
    }
}

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A duration as the table writes it: `1h30m`.
pub(crate) fn text(duration: Duration) -> String {
    if duration == NEVER {
        return "never".to_owned();
    }
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let number = left / u128::from(millis);
        left %= u128::from(millis);
        if number > 0 {
            text += &format!("{number}{unit}");
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// A century: longer durations are mistakes.
const LONGEST: Duration = days(36_525);

/// Rejects a time that is longer than any a table may have.
pub(super) fn check_length(time: Duration) -> Result<(), String> {
    match time > LONGEST {
        false => Ok(()),
        true => Err(too_long(text(time))),
    }
}

fn too_long(text: impl fmt::Display) -> String {
    format!("{text} is longer than a century; write \"30d\" or less")
}

/// Parses `64MiB`, `1MB` or `512` to a number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad =
        || format!("{text:?} is not a size; write \"64MiB\", \"1MB\" or a whole number of bytes");
    let (number, unit) = split_while(text, |c| c.is_ascii_digit());
    let unit = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(unit).ok_or_else(bad)
}

/// Parses `10%` to `0.1`.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .and_then(|number| number.trim_end().parse::<f64>().ok())
        .map(|percent| percent / 100.0)
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("{text:?} is not a fraction or percentage; write \"10%\" or 0.1"))
}

fn split_while(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !accept(c)).unwrap_or(text.len()))
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    text_or_number(d, "a duration", parse_duration, seconds)
}

pub(crate) fn some_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}

/// Reads a duration or `"never"`.
pub(crate) fn ttl<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = |text: &str| match text {
        "never" => Ok(NEVER),
        _ => parse_duration(text),
    };
    text_or_number(d, "a duration or \"never\"", text, seconds)
}

pub(crate) fn some_ttl<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    ttl(d).map(Some)
}

pub(crate) fn size<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    text_or_number(d, "a size", parse_size, Ok)
}

pub(crate) fn some_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    size(d).map(Some)
}

pub(crate) fn share<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let whole = |n: u64| {
        if n <= 1 {
            Ok(n as f64)
        } else {
            Err(format!(
                "{n} is more than 1; write a share from 0 to 1, or \"0%\" to \"100%\""
            ))
        }
    };
    d.deserialize_any(Visitor {
        kind: "a share",
        text: parse_share,
        number: whole,
        float: Some,
    })
}

fn seconds(n: u64) -> Result<Duration, String> {
    Some(secs(n))
        .filter(|d| *d <= LONGEST)
        .ok_or_else(|| too_long(format_args!("{n} seconds")))
}

/// Reads text or a whole number; `kind` is what errors say is expected.
pub(super) fn text_or_number<'de, D: Deserializer<'de>, T>(
    d: D,
    kind: &'static str,
    text: impl Fn(&str) -> Result<T, String>,
    number: impl Fn(u64) -> Result<T, String>,
) -> Result<T, D::Error> {
    d.deserialize_any(Visitor {
        kind,
        text,
        number,
        float: |_| None,
    })
}

/// Reads text or a number.
struct Visitor<Text, Number, T> {
    kind: &'static str,
    text: Text,
    number: Number,
    float: fn(f64) -> Option<T>,
}

impl<Text, Number, T> de::Visitor<'_> for Visitor<Text, Number, T>
where
    Text: Fn(&str) -> Result<T, String>,
    Number: Fn(u64) -> Result<T, String>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<T, E> {
        (self.number)(n).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<T, E> {
        match u64::try_from(n) {
            Ok(n) => self.visit_u64(n),
            Err(_) => Err(E::custom(format_args!(
                "{n} is negative; write {} that is not",
                self.kind
            ))),
        }
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<T, E> {
        (self.float)(n).ok_or_else(|| E::invalid_value(de::Unexpected::Float(n), &self))
    }
}

//! Durations on the command line.

use std::{str::FromStr, time::Duration};

/// A duration such as `30s`, `500ms` or `30` (seconds); not zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout(pub(crate) Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = match text.strip_suffix("ms") {
            Some(number) => (number, Duration::from_millis(1)),
            None => (
                text.strip_suffix('s').unwrap_or(text),
                Duration::from_secs(1),
            ),
        };
        match number.parse::<u32>() {
            Ok(number) if number > 0 => Ok(Self(unit * number)),
            _ => Err(format!("{text} is not a duration, such as 30s or 500ms")),
        }
    }
}

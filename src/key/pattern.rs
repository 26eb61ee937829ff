//! Patterns that applications and other programs invalidate, in the syntax of Redis globs.

use super::{glob::MAX_PATTERN, purge::PurgeTarget};
use crate::error::Error;

/// The target of a pattern: for `a:b` one key, for `a:*` and `a*` a prefix, for `*` everything,
/// otherwise a glob.
pub(crate) fn target_of_pattern(pattern: &str) -> Result<PurgeTarget, Error> {
    if pattern.is_empty() {
        return Err(Error::config(
            "a pattern is empty; write a key, `engagement:42:*`, or `*` for everything",
        ));
    }
    if pattern.len() > MAX_PATTERN {
        return Err(Error::config(format!(
            "a pattern of {} bytes is longer than {MAX_PATTERN}; name a prefix, as `engagement:*`",
            pattern.len()
        )));
    }
    if pattern.contains(char::is_control) {
        return Err(Error::config(format!(
            "the pattern {pattern:?} contains a control character, and no key does; remove it"
        )));
    }
    Ok(target(pattern))
}

/// The target of a pattern that is known to be valid.
pub(crate) fn target(pattern: &str) -> PurgeTarget {
    let (start, rest) = literal_start(pattern);
    match rest.trim_start_matches('*') {
        "" if rest.is_empty() => PurgeTarget::Key(start.into()),
        "" if start.is_empty() => PurgeTarget::Everything,
        "" => PurgeTarget::Prefix(start.into()),
        _ => PurgeTarget::Glob(pattern.into()),
    }
}

/// The text before the first wildcard, unescaped, and the rest from the wildcard on.
fn literal_start(pattern: &str) -> (String, &str) {
    let mut start = String::new();
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '*' | '?' | '[' => return (start, &pattern[at..]),
            '\\' => start.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            _ => start.push(c),
        }
    }
    (start, "")
}

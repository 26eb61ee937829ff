//! Patterns that applications and other programs give, in the syntax of Redis globs.

use super::purge::PurgeTarget;
use crate::error::Error;

/// The longest pattern taken, in bytes.
const MAX: usize = 1024;

/// What a pattern names: `a:b` one key, `a:*` and `a*` a prefix, `*` everything, else a glob.
pub(crate) fn subject_of_pattern(pattern: &str) -> Result<PurgeTarget, Error> {
    if pattern.is_empty() {
        return Err(Error::config(
            "a pattern is empty; write a key, `engagement:42:*`, or `*` for everything",
        ));
    }
    if pattern.len() > MAX {
        return Err(Error::config(format!(
            "a pattern of {} bytes is longer than {MAX}; name a prefix, as `engagement:*`",
            pattern.len()
        )));
    }
    if pattern.contains(char::is_control) {
        return Err(Error::config(format!(
            "the pattern {pattern:?} holds a control character, which no key does"
        )));
    }
    Ok(subject(pattern))
}

/// As [`subject_of_pattern`], for a pattern that is known to be in order.
pub(crate) fn subject(pattern: &str) -> PurgeTarget {
    let (start, rest) = literal_start(pattern);
    if rest.is_empty() {
        PurgeTarget::Key(start.into())
    } else if rest.bytes().all(|byte| byte == b'*') {
        if start.is_empty() {
            PurgeTarget::Everything
        } else {
            PurgeTarget::Prefix(start.into())
        }
    } else {
        PurgeTarget::Glob(pattern.into())
    }
}

/// The text before the first wildcard, unescaped, and what follows it.
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

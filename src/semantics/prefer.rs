//! The preferences of a request about waiting (RFC 7240).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::list;

const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Whether the client prefers an answer at once, and how long it is ready to wait for the real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WaitPreference {
    /// `respond-async` (section 4.1)
    pub(crate) responds_async: bool,
    /// `wait=SECONDS` (section 4.3)
    pub(crate) wait: Option<Duration>,
}

impl WaitPreference {
    /// Reads all lines of `Prefer`; `longest` caps `wait`. Preferences that are unknown or malformed
    /// do not count, and of a repeated one the first does (section 2).
    pub(crate) fn of(headers: &HeaderMap, longest: Duration) -> Self {
        let (mut responds_async, mut wait) = (false, None);
        for member in list::members(headers, &PREFER) {
            let preference = member
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default();
            let mut halves = preference.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default().trim_ascii();
            let value = halves.next().map(<[u8]>::trim_ascii);
            if name.eq_ignore_ascii_case(b"respond-async") {
                responds_async = true;
            } else if name.eq_ignore_ascii_case(b"wait") {
                wait.get_or_insert_with(|| value.and_then(seconds));
            }
        }
        Self {
            responds_async,
            wait: wait.flatten().map(|wait| wait.min(longest)),
        }
    }

    /// The value of `Preference-Applied` (section 3); `None` if no preference was applied.
    /// `answers_async`: whether the response is not the real answer.
    pub(crate) fn applied(self, answers_async: bool) -> Option<HeaderValue> {
        let responds_async = self.responds_async && answers_async;
        let text = match (responds_async, self.wait) {
            (false, None) => return None,
            (true, None) => "respond-async".to_owned(),
            (false, Some(wait)) => format!("wait={}", wait.as_secs()),
            (true, Some(wait)) => format!("respond-async, wait={}", wait.as_secs()),
        };
        HeaderValue::try_from(text).ok()
    }
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let seconds = list::number(list::unquote(value)?)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn read(lines: &[&[u8]]) -> WaitPreference {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(PREFER, value);
            }
        }
        WaitPreference::of(&headers, LONGEST)
    }

    fn preference(responds_async: bool, wait: impl Into<Option<u64>>) -> WaitPreference {
        let wait = wait.into().map(Duration::from_secs);
        WaitPreference {
            responds_async,
            wait,
        }
    }

    #[test]
    fn preferences_are_read_from_all_lines() {
        for (lines, expected) in [
            (&[][..], preference(false, None)),
            (&[&b"respond-async"[..]], preference(true, None)),
            (&[b"respond-async, wait=10"], preference(true, 10)),
            (
                &[b"Respond-Async; x=1", b"WAIT = \"5\";y"],
                preference(true, 5),
            ),
            (
                &[b"return=minimal, foo=\"a, wait=3\", wait=4"],
                preference(false, 4),
            ),
            (&[b"wait=1, wait=2"], preference(false, 1)),
            (&[b"wait=99999999999999999999999"], preference(false, 60)),
            (&[b"wait=-1"], preference(false, None)),
            (&[b"wait=x, wait=2"], preference(false, None)),
            (&[b"wait"], preference(false, None)),
            (
                &[b"waiting=2, respond-asynchronously"],
                preference(false, None),
            ),
        ] {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_applied_preferences_are_named() {
        let applied = |preference: WaitPreference, is_async| {
            let value = preference.applied(is_async)?;
            Some(value.to_str().expect("text").to_owned())
        };
        assert_eq!(applied(preference(false, None), true), None);
        assert_eq!(applied(preference(true, None), false), None);
        let both = preference(true, 5);
        assert_eq!(
            applied(both, true).as_deref(),
            Some("respond-async, wait=5")
        );
        assert_eq!(applied(both, false).as_deref(), Some("wait=5"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(line: Vec<u8>) {
            read(&[&line]);
        }
    }
}

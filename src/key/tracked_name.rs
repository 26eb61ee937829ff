//! Names of invalidated keys, prefixes, tags and users in the journal and the fence: bounded in length,
//! and for the keys of URLs in number.
//!
//! Whoever looks a name up computes the same tracked name. Two names with the same tracked name only
//! invalidate too much.

use std::borrow::Cow;

use super::{encode, hash};

/// The tracked name of a key.
///
/// Any client can make up paths that no route names, so their keys `url:…` share a fixed number of
/// names. Otherwise, writes to such paths would displace the invalidations of listed entries.
pub(crate) fn of_key(key: &str) -> Cow<'_, str> {
    match key.strip_prefix(URL) {
        Some(rest) if is_bucket(rest) => Cow::Borrowed(key),
        Some(rest) => {
            let bucket = crc32fast::hash(rest.as_bytes()) % BUCKETS;
            Cow::Owned(format!("{URL}+{bucket:03x}"))
        }
        None => of_text(key),
    }
}

/// The tracked name of a tag, a user or an entity: a long one is replaced by its beginning and a hash.
pub(crate) fn of_text(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_MAX {
        return Cow::Borrowed(name);
    }
    let digits = hash::long(name.as_bytes());
    let start = beginning(name, NAME_MAX - digits.len() - 1);
    Cow::Owned(format!("{start}+{}", encode::text(&digits)))
}

/// The tracked name of a prefix: a long one is cut. Keys that are too long are stored with only this
/// much of their beginning.
pub(crate) fn of_prefix(prefix: &str) -> &str {
    beginning(prefix, PREFIX_MAX)
}

/// The beginning of `text`, at most `max` bytes long.
pub(crate) fn beginning(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether the name after `url:` is already a tracked one. No key of a URL is: it has another `:`.
fn is_bucket(rest: &str) -> bool {
    let digits = rest.strip_prefix('+').unwrap_or_default();
    digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The longest tracked name of anything but a prefix and a glob, in bytes.
const NAME_MAX: usize = 128;

/// The longest tracked prefix, in bytes.
pub(crate) const PREFIX_MAX: usize = encode::KEY_MAX / 2;

/// The beginning of the keys of URLs.
const URL: &str = "url:";

/// How many names the keys of URLs share: few enough to be a small part of the journal, and so many
/// that a write to a path invalidates few other paths.
const BUCKETS: u32 = 1 << 12;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_tracked_name_is_short_readable_and_its_own_tracked_name() {
        assert_eq!(of_key("engagement:42"), "engagement:42");
        let long = |end: &str| format!("engagement:{}{end}", "é".repeat(300));
        let (one, other) = (long("1"), long("2"));
        for tracked in [of_key(&one), of_text(&one)] {
            assert!(tracked.len() <= NAME_MAX, "{tracked}");
            assert!(tracked.starts_with("engagement:é"), "{tracked}");
            assert_ne!(tracked, of_key(&other));
            assert_eq!(of_key(&tracked), tracked);
        }
        assert!(one.starts_with(of_prefix(&one)));
        assert!(of_prefix(&one).len() <= PREFIX_MAX);
    }

    #[test]
    fn the_keys_of_urls_share_a_fixed_number_of_names() {
        let names: HashSet<_> = (0..100_000)
            .map(|i| of_key(&format!("url:example.com:%2Fnothing%2F{i}")).into_owned())
            .collect();
        assert_eq!(names.len(), 4096);
        for name in &names {
            assert_eq!(of_key(name), **name);
        }
    }
}

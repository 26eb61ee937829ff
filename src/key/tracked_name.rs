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
            let bucket = hash_of_url(rest) % BUCKETS;
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

/// A hash of `host:path` that is the same for most of the paths that servers may read from one, and for
/// the host with and without a default port, so that a write to such a path takes few names.
fn hash_of_url(rest: &str) -> u32 {
    let (host, path) = rest.split_once(':').unwrap_or((rest, ""));
    let bare = host.strip_suffix("%3A80");
    let host = bare.or_else(|| host.strip_suffix("%3A443")).unwrap_or(host);
    // A decoded `?` or `#`, a character that stays escaped, and the hash of a long path.
    let ends = ["%3F", "%23", "%25", "+"].iter();
    let end = ends.filter_map(|end| path.find(end)).min();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(host.as_bytes());
    let mut room = HASHED_PATH_MAX;
    for segment in path[..end.unwrap_or(path.len())].split("%2F") {
        // Without parameters, and blanks at the end.
        let name = segment.split("%3B").next().unwrap_or_default();
        let name = name.trim_end_matches("%20").trim_end_matches("%09");
        let name = beginning(name, room);
        if !name.is_empty() {
            hasher.update(b"/");
            hasher.update(name.as_bytes());
        }
        room -= name.len();
    }
    hasher.finalize()
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

/// How much of a URL's path is hashed: less than what a key keeps of a long path, of which the
/// parameters may have been longer.
const HASHED_PATH_MAX: usize = 160;

/// The beginning of the keys of URLs.
const URL: &str = "url:";

/// How many names the keys of URLs share: few enough to be a small part of the journal, and so many
/// that a write to a path invalidates few other paths.
const BUCKETS: u32 = 1 << 12;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyBuf, KeyInputs, PathReadings, path::is_ambiguous, url_key};

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

    /// The tracked names of all readings of a URL under which a response may be stored.
    fn names_of_readings(path: &str) -> HashSet<String> {
        let hosts = ["h", "h:80", "h:443"].map(Some);
        let readings = PathReadings::of(path);
        let stored = readings.of_stored().filter(|path| !is_ambiguous(path));
        let keys = stored.flat_map(|path| {
            hosts.map(|host| {
                let mut key = KeyBuf::new();
                let inputs = KeyInputs {
                    host,
                    path,
                    query: None,
                    scheme: None,
                    headers: &http::HeaderMap::new(),
                    user: None,
                    body: None,
                };
                url_key(&inputs, &mut key);
                of_key(key.base()).into_owned()
            })
        });
        keys.collect()
    }

    #[test]
    fn most_readings_of_a_url_share_a_tracked_name() {
        for path in [
            "/a/b",
            "/a;x/b;y",
            "//a/./b/../c",
            "/a%2fb",
            "/a%20;x%3Fb",
            "/%252fa",
        ] {
            assert_eq!(names_of_readings(path).len(), 1, "{path}");
        }
        assert_ne!(names_of_readings("/a/b"), names_of_readings("/a/c"));
        assert_ne!(names_of_readings("/ab"), names_of_readings("/a/b"));
    }

    const PARTS: [&str; 18] = [
        "/",
        "a",
        "..",
        ".",
        ";",
        ";x",
        "%2e",
        "%2f",
        "%5c",
        "%00",
        "%3F",
        "%20",
        "%252f",
        "%253b",
        "//",
        "%25",
        "%2500",
        "/012345678901234567890123456789012345678901234567890123456789",
    ];

    proptest! {
        #[test]
        fn the_readings_of_a_url_have_few_tracked_names(
            parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 1..14),
        ) {
            let path = format!("/{}", parts.concat());
            let names = names_of_readings(&path).len();
            prop_assert!(names <= 8, "{names}");
        }
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

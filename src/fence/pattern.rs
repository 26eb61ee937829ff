//! Conversion between purge targets and the patterns that other programs publish and receive.

use crate::key::{
    glob::{MAX_PATTERN, literal_prefix},
    pattern::target,
    purge::PurgeTarget,
};

/// The target that a published pattern names; `None` if it is empty.
///
/// It matches at least the keys that the pattern matches. If the pattern is too long or malformed, it is
/// the prefix up to the first invalid byte or wildcard.
pub(super) fn target_of(pattern: &[u8]) -> Option<PurgeTarget> {
    let valid = valid_part(pattern);
    if valid.len() < pattern.len() || !is_closed(valid) {
        return Some(PurgeTarget::prefix(literal_prefix(valid)));
    }
    (!valid.is_empty()).then(|| target(valid))
}

/// The part before the first byte that no key contains, cut to the longest pattern. A longer pattern
/// counts as its literal beginning, since no key is that long.
fn valid_part(pattern: &[u8]) -> &str {
    let pattern = &pattern[..pattern.len().min(MAX_PATTERN)];
    let chunk = pattern.utf8_chunks().next();
    let text = chunk.map_or("", |chunk| chunk.valid());
    &text[..text.find(char::is_control).unwrap_or(text.len())]
}

/// Whether every class is closed and every escape is followed by a character.
fn is_closed(glob: &str) -> bool {
    let mut rest = glob.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'\\' if after.is_empty() => return false,
            b'\\' => &after[1..],
            b'[' => match end_of_class(after) {
                Some(end) => &after[end..],
                None => return false,
            },
            _ => after,
        };
    }
    true
}

fn end_of_class(class: &[u8]) -> Option<usize> {
    let mut at = usize::from(class.first() == Some(&b'^'));
    loop {
        match class.get(at..)? {
            [] => return None,
            [b']', ..] => return Some(at + 1),
            [b'\\', _, ..] => at += 2,
            [_, b'-', _, ..] => at += 3,
            _ => at += 1,
        }
    }
}

/// The pattern to publish for a target; `None` if no pattern can express it.
pub(super) fn pattern_of(target: &PurgeTarget) -> Option<String> {
    match target {
        PurgeTarget::Key(name) => Some(escape(name)),
        PurgeTarget::Prefix(name) => Some(escape(name) + "*"),
        PurgeTarget::Glob(name) => Some(name.to_string()),
        PurgeTarget::Everything => Some("*".to_owned()),
        PurgeTarget::Tag(_)
        | PurgeTarget::User(_)
        | PurgeTarget::Entity(_)
        | PurgeTarget::Version(_) => None,
    }
}

fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 1);
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::glob::matches_glob;

    #[test]
    fn a_published_pattern_matches_its_keys_or_more() {
        let named = |pattern: &[u8]| target_of(pattern).expect("named").to_string();
        assert_eq!(named(b"engagement:42"), "k:engagement:42");
        assert_eq!(named(b"engagement:42*"), "p:engagement:42");
        assert_eq!(named(b"engagement:42:**"), "p:engagement:42:");
        assert_eq!(named(b"dashboard:*:list"), "g:dashboard:*:list");
        assert_eq!(named(b"*"), "*");
        assert_eq!(named(b"a[bc"), "p:a");
        assert_eq!(named(b"a*[bc"), "p:a");
        assert_eq!(named(b"[bc"), "*");
        assert_eq!(named(b"a\\"), "p:a");
        assert_eq!(named(b"a:\xff\xfeb*"), "p:a:");
        assert_eq!(named(b"a:1\r\n"), "p:a:1");
        assert_eq!(named(b"\xff"), "*");
        assert_eq!(named(b"\0"), "*");
        let long = [b"x:".as_slice(), &[b'y'; 1 << 20]].concat();
        assert_eq!(named(&long).len(), 2 + MAX_PATTERN);
        assert_eq!(target_of(b""), None);
    }

    #[test]
    fn published_patterns_read_back_as_their_targets() {
        for target in [
            PurgeTarget::Key("a[1]*".into()),
            PurgeTarget::Key("a:1".into()),
            PurgeTarget::Glob("a:*:b".into()),
            PurgeTarget::Prefix("a:".into()),
            PurgeTarget::Everything,
        ] {
            let pattern = pattern_of(&target).expect("a pattern");
            assert_eq!(target_of(pattern.as_bytes()), Some(target), "{pattern}");
        }
        assert_eq!(pattern_of(&PurgeTarget::Tag("a".into())), None);
    }

    proptest! {
        #[test]
        fn a_literal_prefix_matches_every_key_of_its_glob(glob in "[ab*?\\[\\]^\\\\-]{0,8}", key in "[ab]{0,8}") {
            if matches_glob(&glob, &key) {
                prop_assert!(key.starts_with(literal_prefix(&glob)));
            }
        }

        #[test]
        fn a_target_matches_every_key_that_its_pattern_does(
            glob in "[ab:*?\\[\\]^\\\\-]{1,8}", key in "[ab:]{0,8}",
        ) {
            let covers = match target_of(glob.as_bytes()).expect("not empty") {
                PurgeTarget::Key(name) => *name == *key,
                PurgeTarget::Prefix(name) => key.starts_with(&*name),
                PurgeTarget::Glob(name) => matches_glob(&name, &key),
                _ => true,
            };
            prop_assert!(covers || !matches_glob(&glob, &key));
        }
    }
}

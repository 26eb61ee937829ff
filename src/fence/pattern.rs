//! Patterns as other programs write them.

use crate::{
    key::{pattern::target, purge::PurgeTarget},
    store::contracts::channel::CUT,
};

/// What stands before the first wildcard. An escape ends it too: shorter only matches more.
pub(super) fn literal_prefix(glob: &str) -> &str {
    let end = glob.find(['*', '?', '[', '\\']).unwrap_or(glob.len());
    &glob[..end]
}

/// The subject that a pattern from anywhere names: never fewer keys than it means, often more.
/// `None` if it is empty.
pub(super) fn subject_of(pattern: &[u8]) -> Option<PurgeTarget> {
    let readable = readable(pattern);
    if readable.len() < pattern.len() {
        return Some(prefix(literal_prefix(readable)));
    }
    if !is_closed(readable) {
        return Some(prefix(literal_prefix(readable)));
    }
    (!readable.is_empty()).then(|| target(readable))
}

/// What comes before anything that no key holds, and before the end of the longest pattern.
fn readable(pattern: &[u8]) -> &str {
    let pattern = &pattern[..pattern.len().min(MAX_PATTERN)];
    let text = match std::str::from_utf8(pattern) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&pattern[..error.valid_up_to()]).unwrap_or_default(),
    };
    &text[..text.find(char::is_control).unwrap_or(text.len())]
}

fn prefix(literal: &str) -> PurgeTarget {
    if literal.is_empty() {
        return PurgeTarget::Everything;
    }
    PurgeTarget::Prefix(literal.into())
}

/// No class is open and no escape dangles: what was meant by those is anybody's guess.
fn is_closed(glob: &str) -> bool {
    let mut rest = glob.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'\\' if after.is_empty() => return false,
            b'\\' => &after[1..],
            b'[' => match close_of(after) {
                Some(close) => &after[close..],
                None => return false,
            },
            _ => after,
        };
    }
    true
}

fn close_of(class: &[u8]) -> Option<usize> {
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

/// The pattern by which other programs know a subject: `None` for what only keeps know.
pub(super) fn pattern_of(subject: &PurgeTarget) -> Option<String> {
    match subject {
        PurgeTarget::Key(name) => Some(escaped(name)),
        PurgeTarget::Prefix(name) => Some(escaped(name) + "*"),
        PurgeTarget::Glob(name) => Some(name.to_string()),
        PurgeTarget::Everything => Some("*".to_owned()),
        PurgeTarget::Tag(_)
        | PurgeTarget::User(_)
        | PurgeTarget::Entity(_)
        | PurgeTarget::Version(_) => None,
    }
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 1);
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Longer patterns, in bytes, count as their literal beginning: no key is that long.
pub(super) const MAX_PATTERN: usize = CUT - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::glob::matches_glob;

    #[test]
    fn a_foreign_pattern_names_what_it_means_or_more() {
        let named = |pattern: &[u8]| subject_of(pattern).expect("named").to_string();
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
        assert_eq!(subject_of(b""), None);
    }

    #[test]
    fn what_is_published_reads_back_as_what_was_meant() {
        for subject in [
            PurgeTarget::Key("a[1]*".into()),
            PurgeTarget::Key("a:1".into()),
            PurgeTarget::Glob("a:*:b".into()),
            PurgeTarget::Prefix("a:".into()),
            PurgeTarget::Everything,
        ] {
            let pattern = pattern_of(&subject).expect("other programs know it");
            assert_eq!(subject_of(pattern.as_bytes()), Some(subject), "{pattern}");
        }
        assert_eq!(pattern_of(&PurgeTarget::Tag("a".into())), None);
    }

    proptest! {
        #[test]
        fn a_literal_prefix_matches_more(glob in "[ab*?\\[\\]^\\\\-]{0,8}", key in "[ab]{0,8}") {
            if matches_glob(&glob, &key) {
                prop_assert!(key.starts_with(literal_prefix(&glob)));
            }
        }

        #[test]
        fn a_subject_matches_all_that_its_pattern_does(
            glob in "[ab:*?\\[\\]^\\\\-]{1,8}", key in "[ab:]{0,8}",
        ) {
            let covers = match subject_of(glob.as_bytes()).expect("not empty") {
                PurgeTarget::Key(name) => *name == *key,
                PurgeTarget::Prefix(name) => key.starts_with(&*name),
                PurgeTarget::Glob(name) => matches_glob(&name, &key),
                _ => true,
            };
            prop_assert!(covers || !matches_glob(&glob, &key));
        }
    }
}

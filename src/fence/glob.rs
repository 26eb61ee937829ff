//! Redis globs over keys.

use crate::store::journal::Subject;

/// Whether a Redis glob (`*`, `?`, `[a-z]`, `[^a]`, `\`) matches, by bytes.
///
/// Time is at most the product of the lengths, whatever the glob.
pub(super) fn matches(glob: &str, key: &str) -> bool {
    let (glob, key) = (glob.as_bytes(), key.as_bytes());
    let (mut g, mut k) = (0, 0);
    // After the last star seen: where the glob goes on, and from where in the key it was tried.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if glob.get(g) == Some(&b'*') {
            g += 1;
            star = Some((g, k));
        } else if let Some(&byte) = key.get(k) {
            match one(&glob[g..], byte) {
                Some(width) => (g, k) = (g + width, k + 1),
                None => match star {
                    Some((after, from)) => {
                        star = Some((after, from + 1));
                        (g, k) = (after, from + 1);
                    }
                    None => return false,
                },
            }
        } else {
            return g == glob.len();
        }
    }
}

/// The bytes of the glob that match this one byte of the key.
fn one(glob: &[u8], byte: u8) -> Option<usize> {
    match glob {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (found, width) = class_of(class, byte);
            found.then_some(width + 1)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether the class that begins here holds `byte`, and its width; it ends where the glob ends at
/// the latest.
fn class_of(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class.get(at..).unwrap_or_default() {
            [] => return (found != negated, at),
            [b']', ..] => return (found != negated, at + 1),
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
}

/// What stands before the first wildcard. An escape ends it too: shorter only matches more.
pub(super) fn literal_prefix(glob: &str) -> &str {
    let end = glob.find(['*', '?', '[', '\\']).unwrap_or(glob.len());
    &glob[..end]
}

/// The subject that a pattern from anywhere names: never fewer keys than it means, often more.
/// `None` if it is empty.
pub(super) fn subject_of(pattern: &[u8]) -> Option<Subject> {
    let end = pattern.len().min(MAX_PATTERN);
    let readable = match std::str::from_utf8(&pattern[..end]) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&pattern[..error.valid_up_to()]).unwrap_or_default(),
    };
    if pattern.is_empty() {
        return None;
    }
    let literal = literal_prefix(readable);
    if readable.len() < pattern.len() {
        return Some(prefix(literal));
    }
    Some(match &readable[literal.len()..] {
        "" => Subject::Key(literal.into()),
        "*" => prefix(literal),
        rest if is_closed(rest) => Subject::Glob(readable.into()),
        _ => prefix(literal),
    })
}

fn prefix(literal: &str) -> Subject {
    if literal.is_empty() {
        return Subject::Everything;
    }
    Subject::Prefix(literal.into())
}

/// No class is open, no escape dangles, and it is not all stars.
fn is_closed(glob: &str) -> bool {
    let mut rest = glob.as_bytes();
    let stars = rest.iter().all(|byte| *byte == b'*');
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
    !stars
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

/// Patterns longer than any key, in bytes, count as their literal beginning.
pub(super) const MAX_PATTERN: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches_as_redis_does() {
        for (glob, key, expected) in [
            ("dashboard:*:list", "dashboard:7:list", true),
            ("dashboard:*:list", "dashboard:7:other:list", true),
            ("dashboard:*:list", "dashboard:list", false),
            ("*", "", true),
            ("**a", "ba", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[", "[", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(glob, key), expected, "{glob} {key}");
        }
    }

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
        assert_eq!(named(b"a\\"), "p:a");
        assert_eq!(named(b"a:\xff\xfeb*"), "p:a:");
        assert_eq!(named(b"\xff"), "*");
        let long = [b"x:".as_slice(), &[b'y'; 1 << 20]].concat();
        assert_eq!(named(&long).len(), 2 + MAX_PATTERN);
        assert_eq!(subject_of(b""), None);
    }

    #[test]
    fn a_glob_of_stars_takes_no_exponential_time() {
        let glob = "*a".repeat(400);
        assert!(!matches(&glob, &"ab".repeat(399)));
    }

    proptest! {
        #[test]
        fn a_literal_prefix_matches_more(glob in "[ab*?\\[\\]^\\\\-]{0,8}", key in "[ab]{0,8}") {
            if matches(&glob, &key) {
                prop_assert!(key.starts_with(literal_prefix(&glob)));
            }
        }

        #[test]
        fn a_subject_matches_all_that_its_pattern_does(
            glob in "[ab:*?\\[\\]^\\\\-]{1,8}", key in "[ab:]{0,8}",
        ) {
            let covers = match subject_of(glob.as_bytes()).expect("not empty") {
                Subject::Key(name) => *name == *key,
                Subject::Prefix(name) => key.starts_with(&*name),
                Subject::Glob(name) => matches(&name, &key),
                _ => true,
            };
            prop_assert!(covers || !matches(&glob, &key));
        }
    }
}

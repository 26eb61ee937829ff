//! Paths that servers read in different ways.

use std::borrow::Cow;

use super::encode::hex_pair;

/// Whether a server may read the path of another resource: it has a dot segment, an empty segment, a
/// backslash, an encoded dot, slash, backslash or NUL, or a malformed escape. A trailing slash is not an
/// empty segment.
#[inline]
pub(crate) fn is_ambiguous(path: &str) -> bool {
    is_unusual(path) && has_ambiguity(path)
}

/// Whether the path does not begin with a slash, or contains `%`, `\`, `;`, `//` or `/.`: a cheap test
/// that most paths fail.
#[inline]
pub(crate) fn is_unusual(path: &str) -> bool {
    let bytes = path.as_bytes();
    let unusual = |first: u8, second: u8| {
        let after_slash = (second == b'/') | (second == b'.');
        (second == b'%') | (second == b'\\') | (second == b';') | ((first == b'/') & after_slash)
    };
    bytes.first() != Some(&b'/') || any_pair(bytes, unusual)
}

/// Whether `is` holds for any two adjacent bytes. Checks chunks without an early exit, so that the
/// compiler compares many bytes at once.
#[inline]
fn any_pair(bytes: &[u8], is: impl Fn(u8, u8) -> bool) -> bool {
    let in_chunk = |(firsts, seconds): (&[u8; 16], &[u8; 16])| {
        let pairs = firsts.iter().zip(seconds);
        pairs.fold(false, |any, (&first, &second)| any | is(first, second))
    };
    let firsts = &bytes[..bytes.len().saturating_sub(1)];
    let seconds = bytes.get(1..).unwrap_or_default();
    match firsts.last_chunk().zip(seconds.last_chunk()) {
        // The last chunk overlaps the one before, so that no byte is left.
        Some(last) => {
            let chunks = firsts.as_chunks().0.iter().zip(seconds.as_chunks().0);
            chunks.fold(in_chunk(last), |any, chunk| any | in_chunk(chunk))
        }
        None => bytes.windows(2).any(|pair| is(pair[0], pair[1])),
    }
}

#[cold]
fn has_ambiguity(path: &str) -> bool {
    // `*`
    let Some(rest) = path.strip_prefix('/') else {
        return true;
    };
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last || is_dot_segment(segment) || has_ambiguous_byte(segment)
        {
            return true;
        }
    }
    false
}

/// Whether a segment is `.` or `..`, with or without the parameters that some servers remove
/// (`..;a=b`, `..%3Ba=b`).
fn is_dot_segment(segment: &str) -> bool {
    matches!(without_parameters(segment), "." | "..")
}

pub(super) fn without_parameters(segment: &str) -> &str {
    let ends = [";", "%3B", "%3b"].into_iter();
    let end = ends.filter_map(|end| segment.find(end)).min();
    &segment[..end.unwrap_or(segment.len())]
}

/// Removes the parameters of every segment, which some servers do before they find a route.
pub(crate) fn without_all_parameters(path: &str) -> String {
    let segments = path.split('/').map(without_parameters);
    segments.collect::<Vec<_>>().join("/")
}

fn has_ambiguous_byte(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| match byte {
        b'\\' => true,
        b'%' => is_ambiguous_escape(&bytes[at + 1..]),
        _ => false,
    })
}

/// Whether an escape is malformed, or stands for a byte that changes the path; `after` follows its
/// percent sign. An escaped escape counts as well, because some servers decode twice.
fn is_ambiguous_escape(after: &[u8]) -> bool {
    let changes_path = |byte: u8| matches!(byte, 0 | b'.' | b'/' | b'\\');
    match hex_pair(after) {
        None => true,
        Some(b'%') => hex_pair(without_nested_percents(after)).is_some_and(changes_path),
        Some(byte) => changes_path(byte),
    }
}

/// The digits of an escape that was escaped any number of times: `2f` of `252f`, which follows a `%`.
pub(super) fn without_nested_percents(mut after: &[u8]) -> &[u8] {
    while let Some(inner) = after
        .strip_prefix(b"25")
        .filter(|it| hex_pair(it).is_some())
    {
        after = inner;
    }
    after
}

/// Decodes the escapes of characters that a path may contain unescaped (RFC 3986 section 3.3), and
/// writes the others in upper case (section 6.2.2.1). Slashes stay escaped.
pub(crate) fn normalize_escapes(path: &str) -> Cow<'_, str> {
    let mut parts = path.split('%');
    let start = parts.next().unwrap_or_default();
    if start.len() == path.len() {
        return Cow::Borrowed(path);
    }
    let mut out = start.to_owned();
    for part in parts {
        match hex_pair(part.as_bytes()) {
            Some(byte) if is_path_character(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[2..]);
            }
            Some(_) => {
                out.push('%');
                out.push_str(&part[..2].to_ascii_uppercase());
                out.push_str(&part[2..]);
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    Cow::Owned(out)
}

/// `pchar` of RFC 3986 section 3.3.
fn is_path_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Removes dot segments (RFC 3986 section 5.2.4).
pub(crate) fn without_dot_segments(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

/// Removes empty segments, but not a trailing slash.
pub(crate) fn without_empty_segments(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        out.push('/');
        out.push_str(segment);
    }
    if path.ends_with('/') || out.is_empty() {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ambiguous_paths_are_found() {
        for path in [
            "",
            "*",
            "//",
            "//a",
            "/a//",
            "/a//b",
            "/.",
            "/..",
            "/./",
            "/a/.",
            "/a/..",
            "/a/../b",
            "/a/..;b/c",
            "/.;",
            "/a/..%3bb/c",
            "/a%2fb",
            "/a%2Fb",
            "/a%5c",
            "/a\\b",
            "/\\",
            "/%2e",
            "/a%2Eb",
            "/%00",
            "/%",
            "/%a",
            "/%zz",
            "/a%2",
            "/%252e",
            "/%25252F",
            "/ä%",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
        for path in [
            "/", "/a", "/a/", "/a/b", "/.a", "/a.", "/...", "/.../", "/a..b", "/..a", "/%20",
            "/%25", "/%2525", "/%25zz", "/%41", "/%C3%A4", "/ä", "/a;b", "/a:b", "/*", "/a~b",
            "/a/;b",
        ] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn escapes_are_normalized() {
        for (path, normalized) in [
            ("/login", "/login"),
            ("/%6cogi%6E", "/login"),
            ("/a%3ab%40", "/a:b@"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%2f%5c%25%00%20", "/%2F%5C%25%00%20"),
            ("/%2e%2E/", "/../"),
            ("/%zz%", "/%zz%"),
            ("/%6", "/%6"),
        ] {
            assert_eq!(normalize_escapes(path), normalized);
        }
    }

    #[test]
    fn segments_are_removed() {
        for (path, without_dots, without_empty) in [
            ("/", "/", "/"),
            ("/a/", "/a/", "/a/"),
            ("//", "//", "/"),
            ("//a//b//", "//a//b//", "/a/b/"),
            ("/a/./b/.", "/a/b/", "/a/./b/."),
            ("/a/../../b/..", "/", "/a/../../b/.."),
            ("/a//../b", "/a/b", "/a/../b"),
        ] {
            assert_eq!(without_dot_segments(path), without_dots);
            assert_eq!(without_empty_segments(path), without_empty);
        }
    }

    proptest! {
        /// The cheap test must not miss what the thorough one finds, wherever it stands.
        #[test]
        fn every_ambiguous_path_is_unusual(path in "/?(a{0,19}(/|\\.|%|\\\\|2f|2e|25|00|;|ä|a)){0,9}") {
            prop_assert!(is_unusual(&path) || !has_ambiguity(&path), "{path}");
        }

        #[test]
        fn normalization_is_idempotent(path in "(/|\\.|%|\\\\|2|5|e|f|a|ä){0,16}") {
            let once = without_empty_segments(&without_dot_segments(&normalize_escapes(&path)));
            let path = format!("/{once}");
            let once = without_empty_segments(&without_dot_segments(&path));
            prop_assert!(!once.contains("//"));
            prop_assert_eq!(without_dot_segments(&once), &*once);
        }
    }
}

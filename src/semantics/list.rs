//! Comma-separated lists (RFC 9110 section 5.6.1) in field lines of any origin.

use http::{HeaderMap, HeaderName};

/// The non-empty members of a list field, over all its lines, white space around them removed.
///
/// A comma inside a quoted-string separates nothing. A quote that is never closed is taken for an
/// ordinary character, so that it hides no member: the most restrictive reading.
pub(crate) fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| Members::new(line.as_bytes()))
}

/// The members of one line.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: Option<&'a [u8]>,
    /// Cleared for good at the first quote without an end: looking again would be quadratic.
    quotes: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self {
            rest: Some(line),
            quotes: true,
        }
    }

    fn end_of_member(&mut self, line: &[u8]) -> usize {
        let mut at = 0;
        while at < line.len() {
            match line[at] {
                b',' => break,
                b'"' if self.quotes => match closing_quote(line, at + 1) {
                    Some(end) => at = end + 1,
                    None => self.quotes = false,
                },
                _ => at += 1,
            }
        }
        at
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(line) = self.rest {
            let end = self.end_of_member(line);
            self.rest = line.get(end + 1..);
            let member = line[..end].trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// Where the quoted-string that begins before `from` ends (RFC 9110 section 5.6.4).
fn closing_quote(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < line.len() {
        match line[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// What a token or a quoted-string says; `None` for a quoted-string with escapes or an odd quote.
///
/// No value that this crate understands needs an escape.
pub(crate) fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    (!inner.contains(&b'"') && !inner.contains(&b'\\')).then_some(inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Vec<&str> {
        Members::new(line.as_bytes())
            .map(|m| std::str::from_utf8(m).expect("was a str"))
            .collect()
    }

    #[test]
    fn commas_in_quoted_strings_separate_nothing() {
        // RFC 9110 section 5.6.1, 5.6.4
        assert_eq!(split(r#"a, b="c, d" ,, e"#), ["a", r#"b="c, d""#, "e"]);
        assert_eq!(split(r#"a="\", x", b"#), [r#"a="\", x""#, "b"]);
    }

    #[test]
    fn an_open_quote_hides_nothing() {
        assert_eq!(split(r#"a="b, no-store"#), [r#"a="b"#, "no-store"]);
        assert_eq!(split("a=\"b\\"), ["a=\"b\\"]);
    }

    #[test]
    fn quoting_comes_off() {
        assert_eq!(unquoted(b"\"60\""), Some(&b"60"[..]));
        assert_eq!(unquoted(b"60"), Some(&b"60"[..]));
        assert_eq!(unquoted(b"\"60"), None);
        assert_eq!(unquoted(b"\""), None);
    }

    proptest! {
        #[test]
        fn members_are_within_the_line(line: Vec<u8>) {
            let total: usize = Members::new(&line).map(<[u8]>::len).sum();
            prop_assert!(total <= line.len());
        }
    }
}

//! Parses field lines that need not be well-formed: comma-separated lists (RFC 9110 section 5.6.1),
//! and the tokens, quoted-strings and numbers in them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The non-empty members of a list field, from all its lines, without surrounding white space.
///
/// A comma inside a quoted-string does not separate. A quote that is never closed is an ordinary
/// character, so that it hides no member: the most restrictive reading.
pub(crate) fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| Members::new(line.as_bytes()))
}

/// The only line of a field; `None` if there is none, or several.
pub(crate) fn sole_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line)
}

/// All lines of a structured field as one (RFC 9651 section 4.2), without empty lines.
pub(crate) fn join_lines(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let given: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    given.join(&b", "[..])
}

/// The members of one line.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: Option<&'a [u8]>,
    /// Whether quotes can still open a quoted-string. Cleared at the first quote that is not
    /// closed, because searching again for an end would take quadratic time.
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

/// The position of the quote that closes a quoted-string (RFC 9110 section 5.6.4); `from` is after
/// the opening quote.
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

/// The text of a token or a quoted-string; `None` if it contains escapes or an unmatched quote.
///
/// No value that this crate uses needs an escape.
pub(crate) fn unquote(value: &[u8]) -> Option<&[u8]> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    (!inner.contains(&b'"') && !inner.contains(&b'\\')).then_some(inner)
}

/// The number that digits stand for; the largest if it does not fit.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        Some(sum.saturating_mul(10).saturating_add(u64::from(digit)))
    })
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
    fn commas_in_quoted_strings_do_not_separate() {
        // RFC 9110 section 5.6.1, 5.6.4
        assert_eq!(split(r#"a, b="c, d" ,, e"#), ["a", r#"b="c, d""#, "e"]);
        assert_eq!(split(r#"a="\", x", b"#), [r#"a="\", x""#, "b"]);
    }

    #[test]
    fn an_unclosed_quote_hides_no_member() {
        assert_eq!(split(r#"a="b, no-store"#), [r#"a="b"#, "no-store"]);
        assert_eq!(split("a=\"b\\"), ["a=\"b\\"]);
    }

    #[test]
    fn quotes_are_removed() {
        assert_eq!(unquote(b"\"60\""), Some(&b"60"[..]));
        assert_eq!(unquote(b"60"), Some(&b"60"[..]));
        assert_eq!(unquote(b"\"60"), None);
        assert_eq!(unquote(b"\""), None);
    }

    proptest! {
        #[test]
        fn members_are_within_the_line(line: Vec<u8>) {
            let total: usize = Members::new(&line).map(<[u8]>::len).sum();
            prop_assert!(total <= line.len());
        }
    }
}

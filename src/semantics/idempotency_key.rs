//! The request field `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

use http::{HeaderMap, HeaderName};
use sfv::{Item, Parser};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in characters.
pub(crate) const MAX_LENGTH: usize = 255;

/// Why the field names no key. It is displayed as a sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MalformedIdempotencyKey {
    Repeated,
    NotAString,
    Empty,
    TooLong,
}

impl MalformedIdempotencyKey {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Repeated => "Send one Idempotency-Key field.",
            Self::NotAString => {
                "Send the Idempotency-Key as a string in double quotes: Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\"."
            }
            Self::Empty => "Send an Idempotency-Key of at least one character.",
            Self::TooLong => "Send an Idempotency-Key of at most 255 characters.",
        }
    }
}

/// The idempotency key of a request: a string of the structured fields (RFC 9651 section 3.3.3), whose
/// parameters are ignored. Without quotes, as many clients send it, it may have the characters of a
/// token (RFC 9110 section 5.6.2), and `:`, `/` and `=`.
///
/// # Errors
///
/// If the field is repeated or is no such string, or if the string is empty or too long.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<String>, MalformedIdempotencyKey> {
    let mut lines = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(MalformedIdempotencyKey::Repeated);
    }
    let line = line.as_bytes().trim_ascii();
    let key = match line.first() {
        None => return Err(MalformedIdempotencyKey::Empty),
        Some(b'"') => quoted(line),
        Some(_) => bare(line),
    };
    let key = key.ok_or(MalformedIdempotencyKey::NotAString)?;
    match key.len() {
        0 => Err(MalformedIdempotencyKey::Empty),
        1..=MAX_LENGTH => Ok(Some(key)),
        _ => Err(MalformedIdempotencyKey::TooLong),
    }
}

fn quoted(line: &[u8]) -> Option<String> {
    let item: Item = Parser::new(line).parse().ok()?;
    item.bare_item.as_string().map(|key| key.as_str().into())
}

fn bare(line: &[u8]) -> Option<String> {
    let is_allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/=".contains(byte);
    let is_key = line.iter().all(is_allowed);
    let key = is_key.then(|| std::str::from_utf8(line).ok()).flatten();
    key.map(Into::into)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<String>, MalformedIdempotencyKey> {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(IDEMPOTENCY_KEY, value);
            }
        }
        of(&headers)
    }

    #[test]
    fn a_key_is_a_string_or_a_bare_token() {
        for (line, key) in [
            (r#""a b""#, "a b"),
            (r#" "a\"b\\" "#, r#"a"b\"#),
            (r#""a";version=1"#, "a"),
            (
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            ("order:7/a==", "order:7/a=="),
        ] {
            assert_eq!(read(&[line.as_bytes()]), Ok(Some(key.into())), "{line}");
        }
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"a"]), read(&[b"\"a\""]));
    }

    #[test]
    fn malformed_keys_are_errors() {
        for line in [
            r#""a"#,
            r#""a" b"#,
            r#""a", "b""#,
            "a, b",
            "a b",
            "a;b",
            "\"\u{e4}\"",
            "?1 x",
        ] {
            let read = read(&[line.as_bytes()]);
            assert_eq!(read, Err(MalformedIdempotencyKey::NotAString), "{line}");
        }
        assert_eq!(read(&[b""]), Err(MalformedIdempotencyKey::Empty));
        assert_eq!(read(&[b"\"\""]), Err(MalformedIdempotencyKey::Empty));
        assert_eq!(read(&[b"a", b"a"]), Err(MalformedIdempotencyKey::Repeated));
        let longest = "a".repeat(MAX_LENGTH);
        assert!(read(&[longest.as_bytes()]).is_ok());
        let too_long = read(&["a".repeat(MAX_LENGTH + 1).as_bytes()]);
        assert_eq!(too_long, Err(MalformedIdempotencyKey::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(line: Vec<u8>) {
            let _ = read(&[&line]);
        }
    }
}

//! Validators and their comparison (RFC 9110 section 8.8).

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{DATE, ETAG, LAST_MODIFIED},
};

use super::{dates::DateField, list};
use crate::clock::Timestamp;

/// An entity tag. An invalid one is compared as text, and only weakly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    weak: bool,
    /// The tag with its quotes.
    text: &'a [u8],
}

impl<'a> EntityTag<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Self {
        match value.strip_prefix(b"W/") {
            Some(text) => Self { weak: true, text },
            None => Self {
                weak: !is_quoted(value),
                text: value,
            },
        }
    }

    /// The entity tag of a message; `None` if it has none or several.
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let line = list::sole_line(headers, &ETAG)?;
        (!line.is_empty()).then(|| Self::parse(line.as_bytes()))
    }

    pub(crate) fn is_strong(self) -> bool {
        !self.weak
    }

    pub(crate) fn weakly_equals(self, other: Self) -> bool {
        self.text == other.text
    }

    pub(crate) fn strongly_equals(self, other: Self) -> bool {
        !self.weak && !other.weak && self.text == other.text
    }
}

fn is_quoted(value: &[u8]) -> bool {
    matches!(value, [b'"', inner @ .., b'"'] if !inner.contains(&b'"'))
}

/// Splits a list of entity tags at commas outside quotes; entity tags have no escapes.
pub(crate) fn tags(line: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut quoted = false;
    line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
    .map(EntityTag::parse)
}

/// `Last-Modified`, if it is a strong validator: at least one second before `Date`, so that no
/// other change can have happened within the same second (RFC 9110 section 8.8.2.2).
fn strong_modification(headers: &HeaderMap) -> Option<Timestamp> {
    // The assumed century does not matter: the two dates are compared to each other.
    let date = DateField::read(headers, &DATE, Timestamp(u64::MAX / 2)).valid()?;
    let modified = DateField::read(headers, &LAST_MODIFIED, date).valid()?;
    (date.since(modified) >= Duration::from_secs(1)).then_some(modified)
}

/// The value of `Last-Modified`, if it is a valid date.
pub(crate) fn modification(headers: &HeaderMap) -> Option<&HeaderValue> {
    // The century of a two-digit year does not matter for validity.
    let date = DateField::read(headers, &LAST_MODIFIED, Timestamp::default());
    date.valid().and_then(|_| headers.get(LAST_MODIFIED))
}

/// Whether a stored response has a validator that a conditional request can use.
///
/// Only a success can be validated: a 304 describes the representation, not an error or a
/// redirection.
pub(crate) fn can_be_validated(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success() && (EntityTag::of(headers).is_some() || modification(headers).is_some())
}

/// The strong validator of a stored response, for use in `If-Range`.
pub(crate) fn strong_validator(headers: &HeaderMap) -> Option<&HeaderValue> {
    match EntityTag::of(headers) {
        Some(tag) if tag.is_strong() => headers.get(ETAG),
        // Section 13.1.5: a date must not be used if there is an entity tag.
        Some(_) => None,
        None => strong_modification(headers).and_then(|_| headers.get(LAST_MODIFIED)),
    }
}

/// Whether strong validators show that two messages have the same representation, byte by byte.
pub(crate) fn same_strong_validator(a: &HeaderMap, b: &HeaderMap) -> bool {
    match (EntityTag::of(a), EntityTag::of(b)) {
        (Some(a), Some(b)) => a.strongly_equals(b),
        (None, None) => {
            let modified = strong_modification(a);
            modified.is_some() && modified == strong_modification(b)
        }
        _ => false,
    }
}

/// Whether the value of an `If-Range` matches the representation with these fields (section
/// 13.1.5).
pub(crate) fn matches_if_range(value: &HeaderValue, headers: &HeaderMap) -> bool {
    let value = value.as_bytes();
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        let tag = EntityTag::parse(value);
        return EntityTag::of(headers).is_some_and(|own| own.strongly_equals(tag));
    }
    let same = headers
        .get(LAST_MODIFIED)
        .is_some_and(|own| own.as_bytes() == value);
    same && strong_modification(headers).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> EntityTag<'_> {
        EntityTag::parse(text.as_bytes())
    }

    #[test]
    fn strong_and_weak_comparison() {
        // The table of RFC 9110 section 8.8.3.2
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("1", "1", false, true),
            ("1", "\"1\"", false, false),
            ("w/\"1\"", "w/\"1\"", false, true),
        ] {
            assert_eq!(tag(a).strongly_equals(tag(b)), strong, "{a} {b}");
            assert_eq!(tag(a).weakly_equals(tag(b)), weak, "{a} {b}");
        }
    }

    #[test]
    fn a_list_is_split_at_commas_outside_quotes() {
        let line = b"\"a,b\", W/\"c\\\" ,, d";
        let read: Vec<_> = tags(line).collect();
        assert_eq!(read, [tag("\"a,b\""), tag("W/\"c\\\""), tag("d")]);
    }

    fn map(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn if_range_needs_a_strong_validator() {
        // RFC 9110 section 13.1.5
        let tagged = map(&[(ETAG, "\"a\""), (LAST_MODIFIED, MODIFIED), (DATE, LATER)]);
        let matches = |value, headers: &HeaderMap| {
            matches_if_range(&HeaderValue::from_static(value), headers)
        };
        assert!(matches("\"a\"", &tagged));
        assert!(!matches("\"b\"", &tagged));
        assert!(!matches("W/\"a\"", &tagged));
        assert!(matches(MODIFIED, &tagged));
        assert!(!matches(LATER, &tagged));
        assert!(!matches(
            MODIFIED,
            &map(&[(LAST_MODIFIED, MODIFIED), (DATE, MODIFIED)])
        ));
        assert!(!matches(MODIFIED, &map(&[(LAST_MODIFIED, MODIFIED)])));
        assert!(!matches("", &HeaderMap::new()));
    }

    #[test]
    fn a_tag_outranks_a_date() {
        let dated = map(&[(LAST_MODIFIED, MODIFIED), (DATE, LATER)]);
        assert!(same_strong_validator(&dated, &dated));
        let weak = map(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, MODIFIED), (DATE, LATER)]);
        assert!(!same_strong_validator(&weak, &weak));
        assert_eq!(strong_validator(&weak), None);
        assert!(strong_validator(&dated).is_some_and(|value| value == MODIFIED));
    }
}

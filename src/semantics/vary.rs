//! `Vary`: selecting one of a key's stored responses (RFC 9111 section 4.1).

use http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, VARY},
};
use sha2::{Digest, Sha256};

use super::{
    list,
    preferences::Preferences,
    stored_response::{Variant, Variants},
};
use crate::key::{encode, hash::hex};

/// The most names in `Vary`; with more, the response is not stored.
const MAX_FIELDS: usize = 32;

/// The request fields that select a response: those in its `Vary`, and those that the table adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VaryFields(Box<[HeaderName]>);

/// The error for a `Vary` that is `*` or invalid: no later request can be known to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unmatchable;

impl VaryFields {
    pub(crate) fn of(response: &HeaderMap, table: &[HeaderName]) -> Result<Self, Unmatchable> {
        let mut names = table.to_vec();
        for member in list::members(response, &VARY) {
            if member == b"*" || names.len() >= MAX_FIELDS {
                return Err(Unmatchable);
            }
            // A name that only contains `*` is a valid token.
            names.push(HeaderName::from_bytes(member).map_err(|_| Unmatchable)?);
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Ok(Self(names.into()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The variant of a response to this request.
    pub(crate) fn variant(self, request: &HeaderMap, response: &HeaderMap) -> Variant {
        let by_language = self
            .0
            .contains(&ACCEPT_LANGUAGE)
            .then(|| sole_language(response))
            .flatten()
            .map(|language| hash(&self.0, request, Some(&language)));
        Variant {
            hash: hash(&self.0, request, None),
            by_language,
            fields: self.0,
        }
    }
}

/// The most recently stored variant that the request selects.
///
/// A variant in the language that the request prefers to all others matches like one that was made
/// for the same `Accept-Language`: section 4.1 allows matching of semantically equivalent fields.
pub(crate) fn choose<'a>(variants: &'a Variants, request: &HeaderMap) -> Option<&'a Variant> {
    let mut exact = HashMemo::default();
    let by_values = variants
        .iter()
        .find(|variant| exact.hash(&variant.fields, request, None) == &*variant.hash);
    by_values.or_else(|| in_preferred_language(variants, request))
}

/// Whether a request selects this variant.
pub(crate) fn selects(variant: &Variant, request: &HeaderMap) -> bool {
    let only = Variants::of([variant.clone()]);
    choose(&only, request).is_some()
}

/// The hash of a request's values in the fields of `variant`: the `#vary` part of its key.
pub(crate) fn hash_for(variant: &Variant, request: &HeaderMap) -> Box<str> {
    hash(&variant.fields, request, None)
}

fn in_preferred_language<'a>(variants: &'a Variants, request: &HeaderMap) -> Option<&'a Variant> {
    let mut with_language = variants
        .iter()
        .filter_map(|variant| Some((variant, variant.by_language.as_deref()?)))
        .peekable();
    with_language.peek()?;
    let language = Preferences::of(request, &ACCEPT_LANGUAGE).sole_favourite()?;
    let mut memo = HashMemo::default();
    with_language
        .find(|(variant, hash)| memo.hash(&variant.fields, request, Some(&language)) == *hash)
        .map(|(variant, _)| variant)
}

/// Remembers the last hash, because the variants of one key usually name the same fields.
#[derive(Default)]
struct HashMemo<'a> {
    fields: &'a [HeaderName],
    hash: Box<str>,
}

impl<'a> HashMemo<'a> {
    fn hash(
        &mut self,
        fields: &'a [HeaderName],
        request: &HeaderMap,
        language: Option<&str>,
    ) -> &str {
        if self.hash.is_empty() || self.fields != fields {
            self.fields = fields;
            self.hash = hash(fields, request, language);
        }
        &self.hash
    }
}

fn sole_language(response: &HeaderMap) -> Option<String> {
    let mut languages = list::members(response, &CONTENT_LANGUAGE);
    let language = languages.next()?;
    let sole = languages.next().is_none();
    sole.then(|| String::from_utf8_lossy(language).to_ascii_lowercase())
}

/// 32 hexadecimal digits for the normalised values of `fields`, with `language` in place of
/// `Accept-Language` if given.
fn hash(fields: &[HeaderName], request: &HeaderMap, language: Option<&str>) -> Box<str> {
    let mut digest = Sha256::new();
    for name in fields {
        hash_part(&mut digest, name.as_str().as_bytes());
        match language {
            Some(language) if *name == ACCEPT_LANGUAGE => {
                digest.update([LANGUAGE]);
                hash_part(&mut digest, language.as_bytes());
            }
            _ => hash_value(&mut digest, request, name),
        }
    }
    encode::text(&hex::<32>(&digest.finalize())).into()
}

/// A missing field differs from an empty one.
fn hash_value(digest: &mut Sha256, request: &HeaderMap, name: &HeaderName) {
    if !request.contains_key(name) {
        digest.update([ABSENT]);
    } else if [ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name) {
        digest.update([PREFERENCES]);
        for preference in Preferences::of(request, name).iter() {
            hash_part(digest, preference.name.as_bytes());
            digest.update(preference.weight.to_be_bytes());
        }
    } else if LISTS.contains(name) {
        digest.update([MEMBERS]);
        for member in list::members(request, name) {
            hash_part(digest, member);
        }
    } else {
        digest.update([MEMBERS]);
        for line in request.get_all(name) {
            hash_part(digest, line.as_bytes().trim_ascii());
        }
    }
    digest.update([END]);
}

/// Fields that are known to be lists. In any other field, a comma or an empty member may make a
/// difference to the application that compares the line, as in `X-Forwarded-Proto: https,`.
const LISTS: [HeaderName; 2] = [ACCEPT, ACCEPT_CHARSET];

/// Hashes the length first, so that different sequences of parts have different hashes.
fn hash_part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update([PART]);
    digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(bytes);
}

const END: u8 = 0;
const ABSENT: u8 = 1;
const MEMBERS: u8 = 2;
const PREFERENCES: u8 = 3;
const LANGUAGE: u8 = 4;
const PART: u8 = 5;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn fields(lines: &[&str]) -> Result<VaryFields, Unmatchable> {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        VaryFields::of(&map(&lines), &[])
    }

    fn same(
        vary: &str,
        stored: &[(&'static str, &str)],
        presented: &[(&'static str, &str)],
    ) -> bool {
        let variant = fields(&[vary])
            .expect("names")
            .variant(&map(stored), &HeaderMap::new());
        choose(&Variants::of([variant]), &map(presented)).is_some()
    }

    #[test]
    fn a_star_or_an_invalid_name_matches_no_request() {
        // RFC 9111 section 4.1
        for lines in [
            &["*"][..],
            &["*, *"],
            &["*", "*"],
            &[", *"],
            &["", "*"],
            &["*, Foo"],
            &["Foo, *"],
            &["a b"],
            &["\"x\""],
        ] {
            assert_eq!(fields(lines), Err(Unmatchable), "{lines:?}");
        }
        let many = "a"
            .repeat(40)
            .chars()
            .enumerate()
            .map(|(i, c)| format!("{c}{i}"))
            .collect::<Vec<_>>();
        assert_eq!(fields(&[&many.join(",")]), Err(Unmatchable));
        assert!(fields(&[" , "]).is_ok_and(|fields| fields.is_empty()));
    }

    #[test]
    fn names_are_merged_with_those_of_the_table() {
        let read = VaryFields::of(
            &map(&[("vary", "Foo, bar"), ("vary", "FOO")]),
            &[HeaderName::from_static("baz")],
        );
        assert_eq!(*read.expect("names").0, ["bar", "baz", "foo"]);
    }

    #[test]
    fn all_named_fields_must_match() {
        // RFC 9111 section 4.1
        let stored = [("foo", "1"), ("bar", "abc")];
        assert!(same(
            "Foo, Bar",
            &stored,
            &[("bar", "abc"), ("foo", "1"), ("other", "2")]
        ));
        assert!(!same("Foo, Bar", &stored, &[("foo", "2"), ("bar", "abc")]));
        assert!(!same("Foo, Bar", &stored, &[("foo", "1")]));
        assert!(!same("Foo, Bar", &stored, &[]));
        assert!(same(
            "Foo, Bar, Baz",
            &[("foo", "1"), ("baz", "2")],
            &[("foo", "1"), ("baz", "2")]
        ));
        assert!(!same("Foo", &[], &[("foo", "1")]));
        assert!(!same("Foo", &[], &[("foo", "")]));
        assert!(!same("Foo", &[("foo", "a")], &[("foo", "A")]));
    }

    #[test]
    fn equivalent_values_match() {
        // RFC 9111 section 4.1: white space, combined lines, order where it means nothing
        assert!(same("Foo", &[("foo", "1, 2")], &[("foo", " 1, 2 ")]));
        assert!(same(
            "Accept",
            &[("accept", "a,b")],
            &[("accept", " a, b ,")]
        ));
        assert!(same(
            "Accept",
            &[("accept", "a, b")],
            &[("accept", "a"), ("accept", "b")]
        ));
        assert!(!same(
            "Accept",
            &[("accept", "a, b")],
            &[("accept", "b, a")]
        ));
        assert!(!same("Accept", &[("accept", "ab")], &[("accept", "a, b")]));
        let language = |stored, presented| {
            same(
                "Accept-Language",
                &[("accept-language", stored)],
                &[("accept-language", presented)],
            )
        };
        assert!(language("en, de", "de, en"));
        assert!(language("en, de", "eN, De"));
        assert!(language("en, de", " en ,   de"));
        assert!(language("en;q=0.5, de", "de;q=1.0,en;q=0.500"));
        assert!(!language("en;q=0.5, de", "en, de;q=0.5"));
        assert!(!language("en", "en, de"));
        assert!(same(
            "Accept-Encoding",
            &[("accept-encoding", "gzip, br")],
            &[("accept-encoding", "BR"), ("accept-encoding", "gzip")]
        ));
    }

    #[test]
    fn fields_that_are_not_known_lists_are_compared_by_line() {
        for (name, stored, presented) in [
            ("x-forwarded-proto", "https,", "https"),
            ("x-forwarded-host", ",api.example.com", "api.example.com"),
            ("foo", "1,2", "1, 2"),
            ("foo", "a,,b", "a,b"),
        ] {
            assert!(!same(name, &[(name, stored)], &[(name, presented)]));
        }
        let lines = [("foo", "1"), ("foo", "2")];
        assert!(!same("Foo", &[("foo", "1, 2")], &lines));
    }

    #[test]
    fn the_preferred_language_selects_a_variant() {
        // RFC 9111 section 4.1, RFC 9110 section 12.5.4
        let response = map(&[("vary", "Accept-Language, Foo"), ("content-language", "DE")]);
        let request = map(&[("accept-language", "en, de"), ("foo", "1")]);
        let variant = VaryFields::of(&response, &[])
            .expect("names")
            .variant(&request, &response);
        let variants = Variants::of([variant]);
        let selects = |language: &str, foo: &str| {
            choose(
                &variants,
                &map(&[("accept-language", language), ("foo", foo)]),
            )
            .is_some()
        };
        assert!(selects("fr;q=0.5, de;q=1.0", "1"));
        assert!(!selects("fr;q=0.5, de;q=1.0", "2"));
        assert!(!selects("fr, de", "1"));
        assert!(!selects("fr, de;q=0.9", "1"));
        assert!(!selects("de;q=0", "1"));
    }

    #[test]
    fn the_most_recent_match_is_chosen() {
        let request = map(&[("foo", "1")]);
        let of = |vary: &str| {
            fields(&[vary])
                .expect("names")
                .variant(&request, &HeaderMap::new())
        };
        let variants = Variants::of([of("bar"), of("foo")]);
        assert_eq!(choose(&variants, &request), variants.iter().next());
        assert_eq!(
            choose(&variants, &map(&[("foo", "1"), ("bar", "2")])),
            variants.iter().nth(1)
        );
    }

    #[test]
    fn the_hash_does_not_change_between_versions() {
        // It is part of keys in Redis.
        let hash = hash(
            &[HeaderName::from_static("foo")],
            &map(&[("foo", "1")]),
            None,
        );
        assert_eq!(&*hash, "8dd18fee7d09d63670bb1906de1d2e8a");
    }

    proptest! {
        #[test]
        fn different_values_do_not_match(a in "[a-z,]{0,8}", b in "[a-z,]{0,8}") {
            let members = |text: &str| text.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(same("Foo", &[("foo", &a)], &[("foo", &b)]), a == b);
            prop_assert_eq!(same("Accept", &[("accept", &a)], &[("accept", &b)]), members(&a) == members(&b));
        }
    }
}

use std::collections::BTreeMap;

use http::HeaderMap;
use proptest::prelude::*;

use super::{
    Key, KeyBuf, KeyInputs,
    encode::{self, KeyBytes},
    glob::matches_glob,
    pattern::target_of_pattern,
    purge::PurgeTarget,
    query::{QueryFilter, single_value},
    url_key,
};

fn value(raw: &[u8]) -> String {
    let mut out = KeyBytes::new();
    encode::push_value(raw, &mut out);
    encode::text(&out).to_owned()
}

fn path(raw: &str, catch_all: bool) -> Option<String> {
    let mut out = KeyBytes::new();
    encode::push_path(raw, catch_all, &mut out).ok()?;
    Some(encode::text(&out).to_owned())
}

fn query(filter: &QueryFilter, raw: Option<&str>) -> String {
    let mut out = KeyBytes::new();
    filter.push(raw, &mut out);
    encode::text(&out).to_owned()
}

fn url(host: Option<&str>, path: &str, query: Option<&str>) -> String {
    let headers = HeaderMap::new();
    let inputs = KeyInputs {
        scheme: None,
        host,
        path,
        query,
        headers: &headers,
        user: None,
        body: None,
    };
    let mut out = KeyBuf::new();
    url_key(&inputs, &mut out);
    out.as_str().to_owned()
}

#[test]
fn a_key_consists_of_its_segments() {
    let key = Key::new("engagement").id("550e8400-e29b").sub("tasks");
    assert_eq!(key.to_string(), "engagement:550e8400-e29b:tasks");
    assert_eq!(Key::new("user:profile").id(7).as_str(), "user:profile:7");
}

#[test]
fn values_cannot_imitate_syntax() {
    let key = Key::new("a").id("b:c@d?e#f*g{h}i~j k%20/é\0");
    assert_eq!(
        key.as_str(),
        "a:b%3Ac%40d%3Fe%23f%2Ag%7Bh%7Di%7Ej%20k%2520%2F%C3%A9%00"
    );
    assert_eq!(Key::new("a").sub("b:c").as_str(), "a:b%3Ac");
}

#[test]
fn long_values_keep_a_readable_prefix() {
    let long = "x".repeat(65);
    let key = value(long.as_bytes());
    assert_eq!(key.len(), 64);
    assert!(key.starts_with(&format!("{}+", "x".repeat(31))), "{key}");
    assert_ne!(
        value(key.as_bytes()),
        key,
        "no value encodes to the shortened form"
    );
    assert_eq!(value("x".repeat(64).as_bytes()), "x".repeat(64));
}

#[test]
fn shortening_never_cuts_an_escape() {
    for offset in 0..3 {
        let raw = format!("{}{}", "x".repeat(offset), "é".repeat(40));
        let short = value(raw.as_bytes());
        let (prefix, _) = short.split_once('+').expect("shortened");
        assert!(path(prefix, false).is_some(), "{prefix}");
    }
}

#[test]
fn long_keys_are_shortened() {
    let key = (0..40).fold(Key::new("a"), |key, i| key.id("y".repeat(60)).id(i));
    let other = (0..40).fold(Key::new("a"), |key, i| key.id("y".repeat(60)).id(i + 1));
    assert_eq!(key.as_str().len(), encode::KEY_MAX);
    assert_ne!(key, other);
}

#[test]
fn the_hash_of_arguments_does_not_depend_on_their_order() {
    let one: BTreeMap<_, _> = [("b", 1), ("a", 2)].into();
    let two: serde_json::Value = serde_json::json!({"a": 2, "b": 1});
    assert_eq!(Key::new("s").hash(&one), Key::new("s").hash(&two));
    assert_eq!(Key::new("s").hash(&one).as_str().len(), 2 + 32);
    assert_ne!(Key::new("s").hash(&[1, 2]), Key::new("s").hash(&[2, 1]));
    // SHA-256 of `{"a":2,"b":1}`: other programs can compute the same key.
    assert_eq!(
        Key::new("s").hash(&one).as_str(),
        "s:d3626ac30a87e6f7a6428233b3c68299"
    );
}

#[test]
fn arguments_that_cannot_be_serialised_share_no_key() {
    let bad: BTreeMap<Vec<u8>, u8> = [(vec![1], 1)].into();
    assert_ne!(Key::new("s").hash(&bad), Key::new("s").hash(&bad));
}

#[test]
fn raw_keys_are_checked() {
    assert_eq!(
        Key::raw("a:b%20c+d/e").expect("raw").as_str(),
        "a:b%20c+d/e"
    );
    for bad in [
        "", "a b", "a:*", "a@b", "a?b", "a#b", "a~b", "a{b}", "a[b]", "a\\b", "é", "a\0", "a\n",
    ] {
        assert!(Key::try_from(bad).is_err(), "{bad:?}");
    }
    assert!(Key::raw(&"x".repeat(513)).is_err());
    let error = Key::raw("a b").expect_err("a space");
    assert!(error.to_string().contains("Key::new(..).id(..)"), "{error}");
}

#[test]
fn path_values_are_percent_decoded() {
    assert_eq!(path("a%20b", false).as_deref(), Some("a%20b"));
    assert_eq!(path("%61%3Ab", false).as_deref(), Some("a%3Ab"));
    assert_eq!(path("a%2fb", false).as_deref(), Some("a%2Fb"));
    assert_eq!(path("a/b", true).as_deref(), Some("a%2Fb"));
    assert_eq!(path("a%2Fb", true).as_deref(), Some("a%2fb"));
    assert_eq!(path("a%252Fb", true).as_deref(), Some("a%252Fb"));
    for malformed in ["%", "a%2", "%zz", "%2%46", "%-1", "%+1"] {
        assert_eq!(path(malformed, false), None, "{malformed}");
    }
}

#[test]
fn a_spelling_distinguishes_reserved_characters_from_their_escapes() {
    let spelling = |raw: &str| {
        let mut out = KeyBytes::new();
        encode::push_spelling(raw, &mut out);
        encode::text(&out).to_owned()
    };
    for (raw, expected) in [
        ("", ""),
        ("a-b.c_d~e/f", ""),
        ("%61%7E", ""),
        ("a;b", "1"),
        ("a%3bb", "0"),
        ("a;b%3B;%20@", "10101"),
        ("%", "1"),
    ] {
        assert_eq!(spelling(raw), expected, "{raw}");
    }
    assert!(encode::has_only_escaped("/a/b-c.d_e~f/%3B%20"));
    for reserved in [
        "/a;b",
        "/a@b/cdefghijklmnopqrstuvwxyz",
        "/abcdefghijklmnopqrstuvwxyz/a+",
    ] {
        assert!(!encode::has_only_escaped(reserved), "{reserved}");
    }
}

#[test]
fn spellings_of_an_unlisted_path_are_variations_of_one_key() {
    let base = |path: &str| {
        let key = url(Some("h"), path, None);
        key.split('?').next().map(str::to_owned)
    };
    for (one, other) in [
        ("/u/a:b", "/u/a%3Ab"),
        ("/u/@a", "/u/%40a"),
        ("/u/a,b", "/u/a%2cb"),
        ("/u/é", "/u/%C3%A9"),
    ] {
        assert_eq!(base(one), base(other));
        assert_ne!(url(Some("h"), one, None), url(Some("h"), other, None));
    }
    for (one, other) in [
        ("/a/b", "/a%2Fb"),
        ("/a\\b", "/a%5Cb"),
        ("/a%2Fb", "/a%252Fb"),
        ("/a%3Ab", "/a%253Ab"),
        ("/%zz", "/%25zz"),
        ("/a", "/a%00"),
    ] {
        assert_ne!(base(one), base(other), "{one} {other}");
    }
    assert_eq!(url(Some("h"), "/a%3Ab", None), "url:h:%2Fa%3Ab");
    assert_eq!(url(Some("h"), "/a:b", None), "url:h:%2Fa%3Ab?+/1");
    let long = url(Some("h"), &"/:%3A".repeat(300), None);
    assert!(long.len() < 512, "{}", long.len());
}

#[test]
fn unlisted_paths_keep_differences_that_origins_may_see() {
    let host = Some("u@Example.COM");
    assert_eq!(
        url(host, "/a/b", Some("x=1")),
        "url:example.com:%2Fa%2Fb?+1f206b11c23e28cc250ded7fc0098d38"
    );
    assert_eq!(
        url(host, "/%61", None),
        url(Some("example.com"), "/a", None)
    );
    assert_ne!(url(host, "/a%2Fb", None), url(host, "/a/b", None));
    assert_ne!(url(host, "/a%252Fb", None), url(host, "/a%2Fb", None));
    assert_eq!(url(host, "/%7euser", None), url(host, "/~user", None));
    assert_eq!(url(host, "/a%2fb", None), url(host, "/a%2Fb", None));
    assert_ne!(url(host, "/a", Some("")), url(host, "/a", None));
    assert_ne!(
        url(host, "/a", Some("x=1&y=2")),
        url(host, "/a", Some("y=2&x=1"))
    );
    assert_ne!(url(host, "/%", None), url(host, "/%25", None));
    assert_eq!(url(Some("h:8080"), "/", None), "url:h%3A8080:%2F");
    // The handler may copy the port into links.
    assert_ne!(url(Some("h:443"), "/", None), url(Some("h"), "/", None));
    let deep = url(host, &"/x".repeat(30_000), Some(&"y=1&".repeat(1000)));
    assert!(deep.len() < 600, "{}", deep.len());
}

#[test]
fn parameters_are_sorted_but_repeated_ones_keep_their_order() {
    let all = QueryFilter::All;
    assert_eq!(query(&all, Some("b=2&a=1")), "?a=1&b=2");
    assert_eq!(query(&all, Some("a=2&b=0&a=1")), "?a=2&a=1&b=0");
    assert_ne!(
        query(&all, Some("a=1&%61=2")),
        query(&all, Some("%61=2&a=1"))
    );
    assert_ne!(query(&all, Some("a")), query(&all, Some("a=")));
    assert_ne!(query(&all, Some("")), query(&all, None));
    assert_ne!(query(&all, Some("a+b")), query(&all, Some("a%20b")));
    assert_ne!(query(&all, Some("a+b")), query(&all, Some("a%2Bb")));
    assert_eq!(query(&all, Some("a=x@y#z")), "?a=x%40y%23z");
}

#[test]
fn a_long_query_is_hashed() {
    let long = format!("q={}", "z".repeat(100));
    let hashed = query(&QueryFilter::All, Some(&long));
    assert_eq!(hashed.len(), 34);
    assert_ne!(query(&QueryFilter::All, Some(&hashed[1..])), hashed);
}

#[test]
fn only_listed_parameters_count() {
    let only = QueryFilter::Only(["page".into(), "f[x]".into()].into());
    assert_eq!(query(&only, Some("x=1&page=2")), "?page=2");
    assert_eq!(query(&only, Some("x=1")), "");
    assert_eq!(query(&only, Some("")), "");
    assert_eq!(query(&only, Some("p%61ge=2")), "?page=2");
    assert_eq!(query(&only, Some("f%5Bx%5D=2")), "?f%255Bx%255D=2");
    // A server that splits at semicolons finds `page` here.
    assert_eq!(query(&only, Some("x=1;page=2")), "?x=1%3Bpage%3D2");
    let ignore = QueryFilter::Ignore(["utm_*".into(), "fbclid".into()].into());
    assert_eq!(
        query(&ignore, Some("utm_source=a&fbclid=b&fbclid2=c&utm%5Fx=1")),
        "?fbclid2=c"
    );
    assert_eq!(query(&ignore, Some("utm_source=a")), "");
    assert_eq!(
        query(&ignore, Some("utm_source=a;page=2")),
        "?utm_source=a%3Bpage%3D2"
    );
}

#[test]
fn an_ambiguous_parameter_has_no_value() {
    assert_eq!(single_value(Some("a=1&b=2"), "b"), Some("2"));
    assert_eq!(single_value(Some("a=1&a=2"), "a"), None);
    assert_eq!(single_value(Some("a=1&%61=2"), "a"), None);
    assert_eq!(single_value(Some("a"), "a"), None);
    assert_eq!(single_value(None, "a"), None);
}

#[test]
fn a_full_key_has_version_user_and_variation() {
    let mut key = KeyBuf::of("engagement:42", 2, 17);
    assert_eq!(key.as_str(), "engagement:42~2.17");
    key.push_user("user 1");
    assert_eq!(key.variant_key("abc"), "engagement:42~2.17@user%201#abc");
    assert_eq!(
        (key.base(), key.user()),
        ("engagement:42", Some("user%201"))
    );
    assert_eq!(key.user(), Some(&*value(b"user 1")));
    assert_eq!(key.as_str(), "engagement:42~2.17@user%201");
    assert_eq!(KeyBuf::of("a:1", 0, 0).as_str(), "a:1");
    assert_eq!(KeyBuf::of("a:1", 3, 0).as_str(), "a:1~3");
    assert_eq!(
        KeyBuf::of("a:1", 0, u64::MAX).as_str(),
        "a:1~0.18446744073709551615"
    );
}

#[test]
fn patterns_become_the_cheapest_target() {
    let of = |pattern: &str| target_of_pattern(pattern).expect("a pattern");
    assert_eq!(of("a:1"), PurgeTarget::Key("a:1".into()));
    assert_eq!(of("a:*"), PurgeTarget::Prefix("a:".into()));
    assert_eq!(of("a:42*"), PurgeTarget::Prefix("a:42".into()));
    assert_eq!(of("a:**"), PurgeTarget::Prefix("a:".into()));
    assert_eq!(of("*"), PurgeTarget::Everything);
    assert_eq!(of("***"), PurgeTarget::Everything);
    assert_eq!(of("a:*:b"), PurgeTarget::Glob("a:*:b".into()));
    assert_eq!(of("a:?"), PurgeTarget::Glob("a:?".into()));
    assert_eq!(of("a:[12]*"), PurgeTarget::Glob("a:[12]*".into()));
    assert_eq!(of("a:*?"), PurgeTarget::Glob("a:*?".into()));
    assert_eq!(of(r"a\*b"), PurgeTarget::Key("a*b".into()));
    assert_eq!(of(r"a\*b*"), PurgeTarget::Prefix("a*b".into()));
    assert!(target_of_pattern("").is_err());
    assert!(target_of_pattern("a\0").is_err());
    assert!(target_of_pattern(&"a".repeat(1025)).is_err());
}

#[test]
fn globs_match_as_in_redis() {
    for (glob, text, expected) in [
        ("", "", true),
        ("*", "", true),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "aXbY", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[c-a]x", "bx", true),
        ("[^a]x", "ax", false),
        ("[^a]x", "bx", true),
        (r"[\]]", "]", true),
        (r"\*", "*", true),
        (r"\*", "a", false),
        ("[ab", "a", true),
        ("[", "a", false),
        ("dashboard:*:list", "dashboard:org-1:list", true),
    ] {
        assert_eq!(matches_glob(glob, text), expected, "{glob} {text}");
    }
}

#[test]
fn backtracking_is_not_exponential() {
    let glob = format!("{}b", "a*".repeat(400));
    let text = "a".repeat(4000);
    let started = std::time::Instant::now();
    assert!(!matches_glob(&glob, &text));
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}

/// A simple matcher of exponential cost.
fn reference(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| reference(rest, &text[n..])),
        ([b'?', rest @ ..], [_, tail @ ..]) => reference(rest, tail),
        ([b'\\', c, rest @ ..], [d, tail @ ..]) => c == d && reference(rest, tail),
        ([b'[', b'^', a, b']', rest @ ..], [d, tail @ ..]) => a != d && reference(rest, tail),
        ([b'[', a, b'-', b, b']', rest @ ..], [d, tail @ ..]) => {
            (a.min(b)..=a.max(b)).contains(&d) && reference(rest, tail)
        }
        ([c, rest @ ..], [d, tail @ ..]) => c == d && reference(rest, tail),
        _ => false,
    }
}

const PARTS: &[&str] = &[
    "a", "%61", "/", "%2F", "%2f", "%252F", "2F", "+", "%20", "%2B", "%", "~", "%7E",
];

/// Texts that decoding could confuse.
fn confusable() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PARTS), 0..3).prop_map(|parts| parts.concat())
}

fn elements() -> impl Strategy<Value = String> {
    let element = prop_oneof![
        "[abc]",
        Just("*".to_owned()),
        Just("?".to_owned()),
        r"\\[ab*]",
        r"\[\^[ab]\]",
        r"\[[abc]-[abc]\]"
    ];
    prop::collection::vec(element, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn globs_agree_with_the_reference(glob in elements(), text in "[abc*]{0,8}") {
        prop_assert_eq!(matches_glob(&glob, &text), reference(glob.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn any_glob_is_accepted(glob in ".{0,20}", text in ".{0,20}") {
        matches_glob(&glob, &text);
        let _ = target_of_pattern(&glob);
    }

    #[test]
    fn encoding_is_injective(a in prop::collection::vec(any::<u8>(), 0..90), b in prop::collection::vec(any::<u8>(), 0..90)) {
        prop_assert_eq!(value(&a) == value(&b), a == b);
    }

    #[test]
    fn similar_values_have_different_keys(a in confusable(), b in confusable()) {
        prop_assert_eq!(value(a.as_bytes()) == value(b.as_bytes()), a == b);
        // A catch-all's slashes stay what they were.
        let decoded = |raw: &str| raw.replace("%2f", "\u{1}").replace("%2F", "\u{1}");
        if let (Some(x), Some(y)) = (path(&a, true), path(&b, true)) {
            let unescape = |raw: &str| encode::form_bytes(&decoded(raw).replace('+', "%2B")).collect::<Vec<_>>();
            prop_assert_eq!(x == y, unescape(&a) == unescape(&b), "{} {}", a, b);
        }
    }

    #[test]
    fn encoded_values_contain_no_syntax(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = value(&raw);
        prop_assert!(key.len() <= encode::VALUE_MAX);
        let forged = key.contains([':', '@', '?', '#', '*', '{', '}', '~', '[', ']', '\\', '/']);
        prop_assert!(!forged, "{}", key);
        let whole = Key::raw(&format!("x{key}"));
        prop_assert!(whole.is_ok());
    }

    #[test]
    fn paths_and_applications_encode_alike(raw in prop::collection::vec(any::<u8>(), 1..80)) {
        let escaped: String = raw.iter().map(|b| format!("%{b:02x}")).collect();
        let mut out = KeyBytes::new();
        encode::push_path(&escaped, false, &mut out).expect("well-formed");
        encode::shorten(&mut out, 0, encode::VALUE_MAX);
        prop_assert_eq!(encode::text(&out), value(&raw));
    }

    /// Two queries with one key differ only in the order of different names, or in the encoding of
    /// unreserved characters.
    #[test]
    fn different_queries_share_no_key(a in "[ab=&+%27]{0,9}", b in "[ab=&+%27]{0,9}") {
        let normal = |raw: &str| {
            let mut out = KeyBytes::new();
            let mut pairs: Vec<(Vec<u8>, String)> = raw.split('&').map(|pair| {
                out.clear();
                let (name, value) = pair.split_once('=').map_or((pair, None), |(n, v)| (n, Some(v)));
                encode::push_uri(name, &mut out);
                if let Some(value) = value {
                    out.push(b'=');
                    encode::push_uri(value, &mut out);
                }
                (encode::form_bytes(name).collect(), encode::text(&out).to_owned())
            }).collect();
            pairs.sort_by(|x, y| x.0.cmp(&y.0));
            pairs
        };
        let shared = query(&QueryFilter::All, Some(&a)) == query(&QueryFilter::All, Some(&b));
        prop_assert_eq!(shared, normal(&a) == normal(&b));
    }

    #[test]
    fn uris_share_a_key_only_if_equivalent(a in confusable(), b in confusable()) {
        // The equivalence of RFC 3986 section 6.2.2, computed in another way.
        let normal = |raw: &str| {
            let mut text = raw.to_owned();
            for byte in (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z').chain(*b"-._~") {
                for form in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
                    // The mark keeps decoded bytes from becoming part of another escape.
                    text = text.replace(&form, &format!("\u{1}{}", char::from(byte)));
                }
            }
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some(at) = rest.find('%') {
                let is_escape = rest.get(at + 1..at + 3).is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let end = if is_escape { at + 3 } else { at + 1 };
                out.push_str(&rest[..at]);
                out.push_str(&rest[at..end].to_ascii_uppercase());
                if !is_escape { out.push('\u{2}'); }
                rest = &rest[end..];
            }
            out.push_str(rest);
            out.replace('\u{1}', "")
        };
        let same = url(Some("h"), &a, None) == url(Some("h"), &b, None);
        prop_assert_eq!(same, normal(&a) == normal(&b), "{} {}", a, b);
    }
}

//! `No-Vary-Search`: the query parameters that do not change the response.

use std::fmt::Write;

use http::{HeaderMap, HeaderName};
use sfv::{Dictionary, ListEntry, Parser};

use super::list;
use crate::key::encode::form_bytes;

pub(crate) const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// Which query parameters distinguish responses, and whether their order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SearchVariance {
    parameters: Parameters,
    order_counts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parameters {
    /// `params`: all parameters except these distinguish responses.
    AllBut(Vec<String>),
    /// `except`: only these parameters distinguish responses.
    Only(Vec<String>),
}

impl SearchVariance {
    /// The rule of a response; `None` if the field is absent, has no effect, or is invalid: then the
    /// whole query distinguishes responses.
    pub(crate) fn of(response: &HeaderMap) -> Option<Self> {
        Self::parse(&list::join_lines(response, &NO_VARY_SEARCH))
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let members: Dictionary = Parser::new(value).parse().ok()?;
        let order_counts = match members.get("key-order") {
            None => true,
            Some(ListEntry::Item(key_order)) => !key_order.bare_item.as_boolean()?,
            Some(ListEntry::InnerList(_)) => return None,
        };
        let parameters = match (members.get("params"), members.get("except")) {
            (None, None) => Parameters::AllBut(Vec::new()),
            (Some(params), None) => Parameters::AllBut(names(params)?),
            (None, Some(except)) => Parameters::Only(names(except)?),
            (Some(_), Some(_)) => return None,
        };
        let has_no_effect = order_counts && parameters == Parameters::AllBut(Vec::new());
        (!has_no_effect).then_some(Self {
            parameters,
            order_counts,
        })
    }

    /// Maps all queries that are equivalent under this rule to the same text. A missing query is an
    /// empty one.
    pub(crate) fn normalize(&self, query: Option<&str>) -> String {
        let mut pairs: Vec<(String, String)> = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                (
                    pair.contains(';'),
                    pair.split_once('=').unwrap_or((pair, "")),
                )
            })
            .map(|(is_kept, (name, value))| (is_kept, decode(name), decode(value)))
            // Servers that split at semicolons see other parameters in the pair.
            .filter(|(is_kept, name, _)| *is_kept || self.counts(name))
            .map(|(_, name, value)| (name, value))
            .collect();
        if !self.order_counts {
            // Stable: the order of parameters with the same name always matters.
            pairs.sort_by(|a, b| utf16_order(&a.0, &b.0));
        }
        let mut normal = String::new();
        for (name, value) in pairs {
            if !normal.is_empty() {
                normal.push('&');
            }
            encode(&name, &mut normal);
            normal.push('=');
            encode(&value, &mut normal);
        }
        normal
    }

    fn counts(&self, name: &str) -> bool {
        match &self.parameters {
            Parameters::AllBut(names) => !names.iter().any(|named| named == name),
            Parameters::Only(names) => names.iter().any(|named| named == name),
        }
    }
}

/// The most names in a rule. Every parameter of every later query is compared to each name.
const MAX_NAMES: usize = 64;
/// The longest value, in bytes: the rules of thousands of paths are kept in memory.
const MAX_VALUE: usize = 2048;

/// Compares by code units, as the URL standard does.
fn utf16_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// The items of an inner list, all of which must be strings, decoded.
fn names(member: &ListEntry) -> Option<Vec<String>> {
    let ListEntry::InnerList(list) = member else {
        return None;
    };
    let items = list.items.iter().map(|item| item.bare_item.as_string());
    let few = list.items.len() <= MAX_NAMES;
    few.then(|| items.map(|name| Some(decode(name?.as_str()))).collect())?
}

/// Decodes `application/x-www-form-urlencoded`: `+` is a space, and invalid UTF-8 becomes U+FFFD.
fn decode(text: &str) -> String {
    let bytes: Vec<u8> = form_bytes(text).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(value: &str) -> Option<SearchVariance> {
        SearchVariance::parse(value.as_bytes())
    }

    fn same(value: &str, a: &str, b: &str) -> bool {
        let rule = rule(value).expect("a rule");
        rule.normalize(Some(a)) == rule.normalize(Some(b))
    }

    #[test]
    fn invalid_rules_and_those_without_effect_are_none() {
        // The draft's section on parsing, its examples
        for value in [
            "key-order=\"not a boolean\"",
            "params=\"not an inner list\"",
            "params=(not-a-string)",
            "params=?0",
            "params=?1",
            "params=?1, except=(\"x\")",
            "params=(\"a\"), except=(\"x\")",
            "params=(), except=()",
            "except=\"x\"",
            "except=(not-a-string)",
            "except=?1",
            "params=(\"a\" b)",
            "params=()",
            "key-order=?0",
            "",
            "((",
            "other",
        ] {
            assert_eq!(rule(value), None, "{value}");
        }
        assert!(rule("except=()").is_some());
        assert!(rule("key-order").is_some());
        assert!(rule("params=(\"a\";x), unknown=5").is_some());
    }

    #[test]
    fn a_rule_with_too_many_names_is_none() {
        let names = |number: usize| {
            let names: Vec<_> = (0..number).map(|n| format!("\"n{n}\"")).collect();
            rule(&format!("params=({})", names.join(" ")))
        };
        assert!(names(64).is_some());
        assert_eq!(names(65), None);
        let long = |length: usize| rule(&format!("params=(\"{}\")", "n".repeat(length)));
        assert!(long(2000).is_some());
        assert_eq!(long(2048), None);
    }

    #[test]
    fn parameters_are_ignored_by_name() {
        assert!(same("params=(\"utm\")", "a=1&utm=2", "utm=3&a=1"));
        assert!(!same("params=(\"utm\")", "a=1&utm=2", "a=2&utm=2"));
        assert!(!same("params=(\"utm\")", "a=1&b=2", "b=2&a=1"));
        assert!(same("except=(\"id\")", "id=1&x=2", "y&id=1"));
        assert!(!same("except=(\"id\")", "id=1", "id=2"));
        assert!(same("except=()", "id=1", "id=2"));
        assert!(!same("params=(\"utm\")", "utm=1;page=2", ""));
        assert!(!same("except=()", "utm=1;page=2", "utm=1;page=3"));
    }

    #[test]
    fn the_order_of_different_names_can_be_ignored() {
        assert!(same("key-order", "a=1&b=2", "b=2&a=1"));
        assert!(!same("key-order", "a=1&a=2", "a=2&a=1"));
        assert!(same("key-order, params=(\"c\")", "a=1&b=2", "b=2&c&a=1"));
    }

    #[test]
    fn queries_are_decoded_as_forms() {
        // The draft's section on comparing, its examples
        for (a, b) in [
            ("a=x", "%61=%78"),
            ("a=\u{e9}", "a=%C3%A9"),
            ("a=%f6", "a=%ef%bf%bd"),
            ("a=x&&&&", "a=x"),
            ("a=", "a"),
            ("a=%20", "a=+"),
            ("a=%2", "a=%252"),
            ("", "&"),
        ] {
            assert!(same("key-order", a, b), "{a} {b}");
        }
        let rule = rule("key-order").expect("a rule");
        assert_eq!(rule.normalize(None), rule.normalize(Some("")));
        assert!(same(
            "params=(\"%C3%A9+%E6%B0%97\")",
            "\u{e9} \u{6c17}=1",
            "%C3%A9%20\u{6c17}=3"
        ));
        assert!(!same("key-order", "a=1%26b=2", "a=1&b=2"));
    }

    proptest! {
        #[test]
        fn normalizing_is_idempotent(query in "[^;\\pC]{0,30}", key_order: bool) {
            let rule = rule(if key_order { "key-order" } else { "params=(\"a\")" }).expect("a rule");
            let once = rule.normalize(Some(&query));
            prop_assert_eq!(rule.normalize(Some(&once)), once);
        }

        #[test]
        fn any_bytes_are_accepted(value: Vec<u8>) {
            SearchVariance::parse(&value);
        }
    }
}

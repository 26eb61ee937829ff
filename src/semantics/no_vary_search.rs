//! `No-Vary-Search`: the query parameters that do not change the response.

use std::convert::Infallible;

use http::{HeaderMap, HeaderName};
use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{
        DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor,
    },
};

pub(crate) const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// Which query parameters distinguish responses, and whether their order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryVariationRule {
    parameters: Parameters,
    order_counts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parameters {
    /// `params`: all but these count.
    AllBut(Vec<String>),
    /// `except`: these alone count.
    Only(Vec<String>),
}

impl QueryVariationRule {
    /// `None` if the whole query counts, unchanged: the field is absent, has no effect, or is
    /// invalid.
    pub(crate) fn of(response: &HeaderMap) -> Option<Self> {
        let mut lines = response.get_all(NO_VARY_SEARCH).iter();
        let first = lines.next()?;
        let joined = lines.fold(first.as_bytes().to_vec(), |mut joined, line| {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line.as_bytes());
            joined
        });
        Self::parse(&joined)
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let mut found = RuleMembers::default();
        Parser::new(value)
            .parse_dictionary_with_visitor(&mut found)
            .ok()?;
        let order_counts = match found.key_order {
            MemberValue::Absent => true,
            MemberValue::Boolean(key_order) => !key_order,
            MemberValue::Strings(_) | MemberValue::Invalid => return None,
        };
        let too_many = |member: &MemberValue| matches!(member, MemberValue::Strings(names) if names.len() > MAX_NAMES);
        if too_many(&found.params) || too_many(&found.except) {
            return None;
        }
        let parameters = match (found.params, found.except) {
            (MemberValue::Absent, MemberValue::Absent) => Parameters::AllBut(Vec::new()),
            (MemberValue::Strings(names), MemberValue::Absent) => Parameters::AllBut(names),
            (MemberValue::Absent, MemberValue::Strings(names)) => Parameters::Only(names),
            _ => return None,
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
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .filter(|(name, _)| self.counts(name))
            .collect();
        if !self.order_counts {
            // Stable: the order of parameters with the same name always counts.
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

    #[cfg(test)]
    pub(crate) fn equivalent(&self, a: Option<&str>, b: Option<&str>) -> bool {
        self.normalize(a) == self.normalize(b)
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

/// Decodes `application/x-www-form-urlencoded`: `+` is a space, and invalid UTF-8 becomes U+FFFD.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[derive(Default)]
struct RuleMembers {
    params: MemberValue,
    except: MemberValue,
    key_order: MemberValue,
}

#[derive(Default)]
enum MemberValue {
    #[default]
    Absent,
    Boolean(bool),
    Strings(Vec<String>),
    Invalid,
}

impl<'de> DictionaryVisitor<'de> for RuleMembers {
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok(match key.as_str() {
            "params" => Some(&mut self.params),
            "except" => Some(&mut self.except),
            "key-order" => Some(&mut self.key_order),
            _ => None,
        })
    }
}

impl<'de> ItemVisitor<'de> for &mut MemberValue {
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de>, Infallible> {
        *self = match item {
            BareItemFromInput::Boolean(value) => MemberValue::Boolean(value),
            _ => MemberValue::Invalid,
        };
        Ok(Ignored)
    }
}

impl<'de> EntryVisitor<'de> for &mut MemberValue {
    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        *self = MemberValue::Strings(Vec::new());
        Ok(StringListVisitor(self))
    }
}

/// Reads an inner list, all of whose items must be strings.
struct StringListVisitor<'a>(&'a mut MemberValue);

impl<'de> InnerListVisitor<'de> for StringListVisitor<'_> {
    type Error = Infallible;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(StringVisitor(self.0))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

struct StringVisitor<'a>(&'a mut MemberValue);

impl<'de> ItemVisitor<'de> for StringVisitor<'_> {
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de>, Infallible> {
        match (item, &mut *self.0) {
            (BareItemFromInput::String(name), MemberValue::Strings(names)) => {
                names.push(decoded(name.as_str()));
            }
            (_, member) => *member = MemberValue::Invalid,
        }
        Ok(Ignored)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(value: &str) -> Option<QueryVariationRule> {
        QueryVariationRule::parse(value.as_bytes())
    }

    fn same(value: &str, a: &str, b: &str) -> bool {
        rule(value).expect("a rule").equivalent(Some(a), Some(b))
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
        assert!(
            rule("key-order")
                .expect("a rule")
                .equivalent(None, Some(""))
        );
        assert!(same(
            "params=(\"%C3%A9+%E6%B0%97\")",
            "\u{e9} \u{6c17}=1",
            "%C3%A9%20\u{6c17}=3"
        ));
        assert!(!same("key-order", "a=1%26b=2", "a=1&b=2"));
    }

    proptest! {
        #[test]
        fn normalizing_is_idempotent(query in "\\PC{0,30}", key_order: bool) {
            let rule = rule(if key_order { "key-order" } else { "params=(\"a\")" }).expect("a rule");
            let once = rule.normalize(Some(&query));
            prop_assert_eq!(rule.normalize(Some(&once)), once);
        }

        #[test]
        fn any_bytes_are_accepted(value: Vec<u8>) {
            QueryVariationRule::parse(&value);
        }
    }
}

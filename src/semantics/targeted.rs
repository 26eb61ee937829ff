//! `CDN-Cache-Control` (RFC 9213): directives for this cache, which replace those for all caches.

use std::{convert::Infallible, time::Duration};

use http::{HeaderMap, HeaderName};
use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{
        DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor,
    },
};

use super::cache_control::{Coverage, MAX_DELTA, ResponseDirectives};

/// The only field in the target list of this cache (RFC 9213 section 2.2).
pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The directives that this cache obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EffectiveDirectives {
    pub(crate) directives: ResponseDirectives,
    /// Whether they come from a targeted field: then `Expires` does not count.
    pub(crate) targeted: bool,
}

impl EffectiveDirectives {
    /// The directives of the targeted field if it is valid and not empty, otherwise those of
    /// `Cache-Control`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match parse(headers) {
            Targeted::Valid(directives) => Self {
                directives,
                targeted: true,
            },
            Targeted::Mistyped(found) => Self {
                directives: restricted(ResponseDirectives::parse(headers), found),
                targeted: false,
            },
            Targeted::None => Self {
                directives: ResponseDirectives::parse(headers),
                targeted: false,
            },
        }
    }
}

/// Adds the restrictions of a targeted field that is invalid: it must not be used, but the response
/// must not be stored against its restrictions either.
fn restricted(mut directives: ResponseDirectives, found: ResponseDirectives) -> ResponseDirectives {
    directives.no_store |= found.no_store;
    directives.no_cache.widen(found.no_cache);
    directives.private.widen(found.private);
    directives
}

enum Targeted {
    /// The field is absent, empty, or not a dictionary.
    None,
    /// A value does not have its directive's type (RFC 9213 section 2.1).
    Mistyped(ResponseDirectives),
    Valid(ResponseDirectives),
}

fn parse(headers: &HeaderMap) -> Targeted {
    let mut lines = headers.get_all(CDN_CACHE_CONTROL).iter();
    let Some(first) = lines.next() else {
        return Targeted::None;
    };
    let joined = lines.fold(first.as_bytes().to_vec(), |mut joined, line| {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
        joined
    });
    let mut found = Dictionary::default();
    let parsed = Parser::new(&joined).parse_dictionary_with_visitor(&mut found);
    match (parsed, found) {
        (Err(_), _) | (Ok(()), Dictionary { empty: true, .. }) => Targeted::None,
        (
            Ok(()),
            Dictionary {
                mistyped: true,
                directives,
                ..
            },
        ) => Targeted::Mistyped(directives),
        (Ok(()), Dictionary { directives, .. }) => Targeted::Valid(directives),
    }
}

struct Dictionary {
    directives: ResponseDirectives,
    empty: bool,
    mistyped: bool,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            directives: ResponseDirectives::default(),
            empty: true,
            mistyped: false,
        }
    }
}

impl<'de> DictionaryVisitor<'de> for Dictionary {
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.empty = false;
        Ok(DirectiveVisitor {
            name: key.as_str(),
            dictionary: self,
        })
    }
}

struct DirectiveVisitor<'a, 'de> {
    name: &'de str,
    dictionary: &'a mut Dictionary,
}

impl<'de> ItemVisitor<'de> for DirectiveVisitor<'_, 'de> {
    type Error = Infallible;

    /// Parameters are ignored (RFC 9213 section 2.1).
    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de>, Infallible> {
        self.set(&DirectiveValue::of(item));
        Ok(Ignored)
    }
}

impl<'de> EntryVisitor<'de> for DirectiveVisitor<'_, 'de> {
    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        self.set(&DirectiveValue::Other);
        Ok(Ignored)
    }
}

impl DirectiveVisitor<'_, '_> {
    /// Called for each member: the last of repeated ones counts (RFC 9651 section 4.2.2).
    fn set(self, value: &DirectiveValue) {
        let Dictionary {
            directives: to,
            mistyped,
            ..
        } = self.dictionary;
        let typed = match self.name {
            "max-age" => value.set_lifetime(&mut to.max_age),
            "s-maxage" => value.set_lifetime(&mut to.s_maxage),
            "stale-while-revalidate" => value.set_lifetime(&mut to.stale_while_revalidate),
            "stale-if-error" => value.set_lifetime(&mut to.stale_if_error),
            "no-cache" => value.set_coverage(&mut to.no_cache),
            "private" => value.set_coverage(&mut to.private),
            "no-store" => value.set_restriction(&mut to.no_store),
            "must-revalidate" => value.set_restriction(&mut to.must_revalidate),
            "proxy-revalidate" => value.set_restriction(&mut to.proxy_revalidate),
            "must-understand" => value.set_permission(&mut to.must_understand),
            "public" => value.set_permission(&mut to.public),
            "immutable" => value.set_permission(&mut to.immutable),
            _ => true,
        };
        *mistyped |= !typed;
    }
}

enum DirectiveValue {
    Present(bool),
    Seconds(Duration),
    Names(Coverage),
    Other,
}

impl DirectiveValue {
    fn of(item: BareItemFromInput<'_>) -> Self {
        match item {
            BareItemFromInput::Boolean(present) => Self::Present(present),
            BareItemFromInput::Integer(number) => u64::try_from(i64::from(number))
                .map_or(Self::Other, |number| {
                    Self::Seconds(Duration::from_secs(number).min(MAX_DELTA))
                }),
            BareItemFromInput::String(names) => {
                Self::Names(Coverage::of(names.as_str().as_bytes()))
            }
            BareItemFromInput::Token(name) => Self::Names(Coverage::of(name.as_str().as_bytes())),
            _ => Self::Other,
        }
    }

    fn set_lifetime(&self, to: &mut Option<Duration>) -> bool {
        match self {
            Self::Seconds(seconds) => *to = Some(*seconds),
            _ => return false,
        }
        true
    }

    fn set_coverage(&self, to: &mut Coverage) -> bool {
        match self {
            Self::Present(false) => *to = Coverage::Nothing,
            Self::Names(names) => *to = names.clone(),
            Self::Present(true) => *to = Coverage::Whole,
            Self::Seconds(_) | Self::Other => {
                *to = Coverage::Whole;
                return false;
            }
        }
        true
    }

    fn set_restriction(&self, to: &mut bool) -> bool {
        *to = !matches!(self, Self::Present(false));
        matches!(self, Self::Present(_))
    }

    fn set_permission(&self, to: &mut bool) -> bool {
        *to = matches!(self, Self::Present(true));
        matches!(self, Self::Present(_))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CACHE_CONTROL};
    use proptest::prelude::*;

    use super::*;

    fn binding(targeted: &[&str], general: &str) -> EffectiveDirectives {
        let mut headers = HeaderMap::new();
        for line in targeted {
            headers.append(
                CDN_CACHE_CONTROL,
                HeaderValue::from_str(line).expect("a value"),
            );
        }
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_str(general).expect("a value"),
        );
        EffectiveDirectives::of(&headers)
    }

    fn max_age(targeted: &str) -> Option<u64> {
        let found = binding(&[targeted], "max-age=1");
        found.directives.max_age.map(|age| age.as_secs())
    }

    #[test]
    fn a_valid_field_replaces_cache_control() {
        // RFC 9213 section 2.2
        assert_eq!(max_age("max-age=3600"), Some(3600));
        assert_eq!(max_age("foobar, max-age=3600;x=y"), Some(3600));
        assert_eq!(max_age("max-age=99999999999"), Some(1 << 31));
        assert_eq!(max_age("none"), None);
        let stored = binding(&["max-age=10"], "no-store");
        assert!(stored.targeted && !stored.directives.no_store);
        assert!(
            binding(&["private"], "max-age=60")
                .directives
                .private
                .is_whole()
        );
        assert!(
            binding(&["max-age=5", "no-store"], "max-age=60")
                .directives
                .no_store
        );
        assert_eq!(
            binding(&["no-cache=\"a, b\""], "")
                .directives
                .no_cache
                .fields(),
            ["a", "b"]
        );
    }

    #[test]
    fn an_invalid_field_is_ignored() {
        // RFC 9213 section 2.1
        for line in [
            "max-age =100",
            "max-age= 100",
            "max-age=10000, &&&&&",
            "",
            "MaX-aGe=3600",
            "max-age=\"10000\"",
            "max-age=10.5",
            "max-age=-5",
            "max-age=(1 2)",
            "max-age",
        ] {
            assert_eq!(max_age(line), Some(1), "{line}");
        }
    }

    #[test]
    fn restrictions_of_an_ignored_field_count() {
        assert!(
            binding(&["no-store, max-age=\"1\""], "max-age=60")
                .directives
                .no_store
        );
        assert!(
            binding(&["private=7"], "max-age=60")
                .directives
                .private
                .is_whole()
        );
        assert!(
            !binding(&["no-store=?0, max-age=60"], "")
                .directives
                .no_store
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(line in proptest::collection::vec(0x20u8..=0xff, 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.insert(CDN_CACHE_CONTROL, value);
                EffectiveDirectives::of(&headers);
            }
        }
    }
}

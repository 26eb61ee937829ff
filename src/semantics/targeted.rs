//! `CDN-Cache-Control` (RFC 9213): directives for this cache, which replace those for all caches.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::{
    cache_control::{Coverage, MAX_DELTA, ResponseDirectives},
    list,
};

/// The only field in the target list of this cache (RFC 9213 section 2.2).
pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The directives that this cache obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EffectiveDirectives {
    pub(crate) directives: ResponseDirectives,
    /// Whether they come from a targeted field: then `Expires` is ignored.
    pub(crate) targeted: bool,
}

impl EffectiveDirectives {
    /// The directives of the targeted field if it is valid and not empty, otherwise those of
    /// `Cache-Control`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let general = || ResponseDirectives::parse(headers);
        let (directives, targeted) = match parse(headers) {
            Some((directives, true)) => (directives, true),
            Some((invalid, false)) => (restrict(general(), invalid), false),
            None => (general(), false),
        };
        Self {
            directives,
            targeted,
        }
    }
}

/// Adds the restrictions of a targeted field that is invalid: it must not be used, but the response
/// must not be stored against its restrictions either.
fn restrict(mut directives: ResponseDirectives, found: ResponseDirectives) -> ResponseDirectives {
    directives.no_store |= found.no_store;
    directives.no_cache.widen(found.no_cache);
    directives.private.widen(found.private);
    directives
}

/// The directives of the targeted field, and whether all values have their directive's type (RFC
/// 9213 section 2.1); `None` if the field is absent, empty, or not a dictionary.
fn parse(headers: &HeaderMap) -> Option<(ResponseDirectives, bool)> {
    if !headers.contains_key(CDN_CACHE_CONTROL) {
        return None;
    }
    let joined = list::join_lines(headers, &CDN_CACHE_CONTROL);
    let members: Dictionary = Parser::new(&joined).parse().ok()?;
    let mut directives = ResponseDirectives::default();
    let mut valid = true;
    for (name, member) in &members {
        valid &= DirectiveValue::of(member).set(name.as_str(), &mut directives);
    }
    (!members.is_empty()).then_some((directives, valid))
}

enum DirectiveValue {
    Present(bool),
    Seconds(Duration),
    Names(Coverage),
    Other,
}

impl DirectiveValue {
    /// Parameters are ignored (RFC 9213 section 2.1).
    fn of(member: &ListEntry) -> Self {
        let ListEntry::Item(item) = member else {
            return Self::Other;
        };
        match &item.bare_item {
            BareItem::Boolean(present) => Self::Present(*present),
            BareItem::Integer(number) => u64::try_from(i64::from(*number))
                .map_or(Self::Other, |number| {
                    Self::Seconds(Duration::from_secs(number).min(MAX_DELTA))
                }),
            BareItem::String(names) => Self::Names(Coverage::of(names.as_str().as_bytes())),
            BareItem::Token(name) => Self::Names(Coverage::of(name.as_str().as_bytes())),
            _ => Self::Other,
        }
    }

    /// Sets the directive of this name. Returns false if the value does not have its type.
    fn set(&self, name: &str, to: &mut ResponseDirectives) -> bool {
        match name {
            "max-age" => self.set_lifetime(&mut to.max_age),
            "s-maxage" => self.set_lifetime(&mut to.s_maxage),
            "stale-while-revalidate" => self.set_lifetime(&mut to.stale_while_revalidate),
            "stale-if-error" => self.set_lifetime(&mut to.stale_if_error),
            "no-cache" => self.set_coverage(&mut to.no_cache),
            "private" => self.set_coverage(&mut to.private),
            "no-store" => self.set_restriction(&mut to.no_store),
            "must-revalidate" => self.set_restriction(&mut to.must_revalidate),
            "proxy-revalidate" => self.set_restriction(&mut to.proxy_revalidate),
            "must-understand" => self.set_permission(&mut to.must_understand),
            "public" => self.set_permission(&mut to.public),
            "immutable" => self.set_permission(&mut to.immutable),
            _ => true,
        }
    }

    fn set_lifetime(&self, to: &mut Option<Duration>) -> bool {
        let Self::Seconds(seconds) = self else {
            return false;
        };
        *to = Some(*seconds);
        true
    }

    fn set_coverage(&self, to: &mut Coverage) -> bool {
        *to = match self {
            Self::Present(false) => Coverage::Nothing,
            Self::Names(names) => names.clone(),
            Self::Present(true) | Self::Seconds(_) | Self::Other => Coverage::Whole,
        };
        !matches!(self, Self::Seconds(_) | Self::Other)
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

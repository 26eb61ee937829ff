//! `Cache-Control` (RFC 9111 section 5.2, RFC 5861, RFC 8246), read in its most restrictive sense.
//!
//! Of repeated directives the stricter counts, and a lifetime that cannot be read is zero
//! (section 4.2.1 encourages to consider such responses stale).

use std::time::Duration;

use http::{
    HeaderMap, HeaderName,
    header::{CACHE_CONTROL, PRAGMA},
};

use super::list::{self, Members};

/// The greatest number of seconds that is told apart (RFC 9111 section 1.2.2).
pub(crate) const MAX_DELTA: Duration = Duration::from_secs(1 << 31);

/// What a directive covers that may carry field names: `no-cache`, `private`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cover {
    #[default]
    Nothing,
    /// The qualified form: these fields only.
    Fields(Vec<HeaderName>),
    Whole,
}

impl Cover {
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    pub(crate) fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Nothing | Self::Whole => &[],
        }
    }

    pub(super) fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Nothing) | (Self::Whole, _) => {}
            (Self::Fields(names), Self::Fields(more)) => names.extend(more),
            (_, other) => *self = other,
        }
    }

    /// The argument of a qualified directive; no names, or one that is none, means everything.
    pub(super) fn of(argument: &[u8]) -> Self {
        let names: Option<Vec<_>> = list::unquoted(argument).and_then(|names| {
            Members::new(names)
                .map(|name| HeaderName::from_bytes(name).ok())
                .map(|name| name.filter(|name| name != "*"))
                .collect()
        });
        match names {
            Some(names) if !names.is_empty() => Self::Fields(names),
            _ => Self::Whole,
        }
    }
}

/// The directives of a response (RFC 9111 section 5.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub(crate) max_age: Option<Duration>,
    pub(crate) s_maxage: Option<Duration>,
    pub(crate) no_store: bool,
    pub(crate) no_cache: Cover,
    pub(crate) private: Cover,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) immutable: bool,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
}

impl ResponseDirectives {
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        for member in list::members(headers, &CACHE_CONTROL) {
            read.add(&Directive::parse(member));
        }
        read
    }

    fn add(&mut self, directive: &Directive<'_>) {
        if directive.is("max-age") {
            shorten(&mut self.max_age, directive.lifetime());
        } else if directive.is("s-maxage") {
            shorten(&mut self.s_maxage, directive.lifetime());
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("no-cache") {
            self.no_cache.widen(directive.cover());
        } else if directive.is("private") {
            self.private.widen(directive.cover());
        } else if directive.is("public") {
            // With an argument it is something else, and grants nothing.
            self.public |= directive.argument.is_none();
        } else if directive.is("must-revalidate") {
            self.must_revalidate = true;
        } else if directive.is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if directive.is("must-understand") {
            self.must_understand = true;
        } else if directive.is("immutable") {
            self.immutable = true;
        } else if directive.is("stale-while-revalidate") {
            shorten(&mut self.stale_while_revalidate, directive.lifetime());
        } else if directive.is("stale-if-error") {
            shorten(&mut self.stale_if_error, directive.lifetime());
        }
    }

    /// Whether a response to a request with credentials may be used for others (section 3.5).
    pub(crate) fn shares(&self) -> bool {
        self.public || self.s_maxage.is_some() || self.must_revalidate
    }

    /// Whether it may never be used stale by a shared cache (sections 5.2.2.2, .8 and .10).
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }
}

/// The directives of a request (RFC 9111 section 5.2.1, RFC 5861 section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    pub(crate) max_age: Option<Duration>,
    pub(crate) min_fresh: Option<Duration>,
    /// [`Duration::MAX`] when any staleness will do.
    pub(crate) max_stale: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}

impl RequestDirectives {
    /// Two look-ups when the request says nothing, and never an allocation.
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        if headers.contains_key(CACHE_CONTROL) {
            for member in list::members(headers, &CACHE_CONTROL) {
                read.add(&Directive::parse(member));
            }
        } else if headers.contains_key(PRAGMA) {
            // Section 5.4: only where `Cache-Control` is absent.
            read.no_cache = list::members(headers, &PRAGMA)
                .any(|member| member.eq_ignore_ascii_case(b"no-cache"));
        }
        read
    }

    fn add(&mut self, directive: &Directive<'_>) {
        if directive.is("max-age") {
            shorten(&mut self.max_age, directive.lifetime());
        } else if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("max-stale") {
            let any = directive.argument.is_none();
            let limit = if any {
                Duration::MAX
            } else {
                directive.lifetime()
            };
            shorten(&mut self.max_stale, limit);
        } else if directive.is("min-fresh") {
            let wanted = directive.seconds().unwrap_or(MAX_DELTA);
            self.min_fresh = self.min_fresh.max(Some(wanted));
        } else if directive.is("stale-if-error") {
            shorten(&mut self.stale_if_error, directive.lifetime());
        }
    }
}

fn shorten(kept: &mut Option<Duration>, found: Duration) {
    *kept = Some(kept.map_or(found, |kept| kept.min(found)));
}

struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
}

impl<'a> Directive<'a> {
    fn parse(member: &'a [u8]) -> Self {
        match member.iter().position(|&byte| byte == b'=') {
            Some(at) => Self {
                name: &member[..at],
                argument: Some(&member[at + 1..]),
            },
            None => Self {
                name: member,
                argument: None,
            },
        }
    }

    /// White space before the `=` is an error, but restricts no less.
    fn is(&self, name: &str) -> bool {
        self.name
            .trim_ascii_end()
            .eq_ignore_ascii_case(name.as_bytes())
    }

    fn seconds(&self) -> Option<Duration> {
        if self.name.last().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        delta_seconds(list::unquoted(self.argument?)?)
    }

    /// Zero for what cannot be read.
    fn lifetime(&self) -> Duration {
        self.seconds().unwrap_or(Duration::ZERO)
    }

    fn cover(&self) -> Cover {
        self.argument.map_or(Cover::Whole, Cover::of)
    }
}

/// `delta-seconds` (RFC 9111 section 1.2.2): digits only, whatever the number of them.
pub(crate) fn delta_seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() {
        return None;
    }
    let seconds = digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        Some(sum.saturating_mul(10).saturating_add(u64::from(digit)))
    })?;
    Some(Duration::from_secs(seconds).min(MAX_DELTA))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn response(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::parse(&map(lines))
    }

    fn request(line: &str) -> RequestDirectives {
        RequestDirectives::parse(&map(&[line]))
    }

    fn map(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).expect("a value"));
        }
        headers
    }

    fn max_age(line: &str) -> Option<u64> {
        response(&[line]).max_age.map(|age| age.as_secs())
    }

    #[test]
    fn lifetimes_are_digits() {
        // RFC 9111 section 1.2.2 and 5.2.2.1
        assert_eq!(max_age("max-age=3600"), Some(3600));
        assert_eq!(max_age("MaX-aGe=3600"), Some(3600));
        assert_eq!(max_age("max-age=003600"), Some(3600));
        assert_eq!(max_age("max-age=\"3600\""), Some(3600));
        assert_eq!(max_age("foobar, max-age=3600"), Some(3600));
        assert_eq!(max_age("max-age=2147483649"), Some(1 << 31));
        assert_eq!(max_age("max-age=99999999999999999999999999"), Some(1 << 31));
        assert_eq!(max_age("s-maxage=1"), None);
    }

    #[test]
    fn a_lifetime_that_cannot_be_read_is_zero() {
        // RFC 9111 section 4.2.1
        for line in [
            "max-age=-3600",
            "max-age='3600'",
            "max-age=3600.0",
            "max-age=a3600",
            "max-age=3600a",
            "max-age =3600",
            "max-age= 3600",
            "max-age",
            "max-age=",
            "max-age=\"3600",
            "max-age=\"\"",
        ] {
            assert_eq!(max_age(line), Some(0), "{line}");
        }
    }

    #[test]
    fn the_shorter_of_two_lifetimes_counts() {
        // RFC 9111 section 4.2.1
        assert_eq!(max_age("max-age=1800, max-age=1"), Some(1));
        assert_eq!(max_age("max-age=1, max-age=1800"), Some(1));
        let lines = ["max-age=1800", "max-age=1"];
        assert_eq!(response(&lines).max_age, Some(Duration::from_secs(1)));
    }

    #[test]
    fn quoted_strings_hold_no_directives() {
        // RFC 9110 section 5.6.4
        assert_eq!(max_age("extension=\"max-age=3600\", max-age=1"), Some(1));
        assert_eq!(max_age("max-age=1, extension=\"max-age=3600\""), Some(1));
        assert!(!response(&["x=\"no-store\""]).no_store);
        assert!(response(&["x=\"a, no-store"]).no_store);
        assert!(response(&["x=\"a", "No-StOrE"]).no_store);
    }

    #[test]
    fn qualified_directives_name_fields() {
        // RFC 9111 sections 5.2.2.4 and 5.2.2.7
        let read = response(&["no-cache=\"a, B\", private=c"]);
        assert_eq!(read.no_cache.fields(), ["a", "b"]);
        assert_eq!(read.private.fields(), ["c"]);
        assert!(response(&["no-cache=\"a\", no-cache"]).no_cache.is_whole());
        assert!(response(&["no-cache, no-cache=\"a\""]).no_cache.is_whole());
        assert!(response(&["private=\"\""]).private.is_whole());
        assert!(response(&["private=\"a, *\""]).private.is_whole());
        assert!(response(&["private=\"a b\""]).private.is_whole());
        assert!(response(&["private ="]).private.is_whole());
    }

    #[test]
    fn what_grants_must_be_exact() {
        assert!(response(&["Public"]).shares());
        assert!(!response(&["public=x"]).shares());
        assert!(response(&["s-maxage=1"]).forbids_stale());
        assert!(response(&["proxy-revalidate"]).forbids_stale());
        assert!(!response(&["proxy-revalidate"]).shares());
    }

    #[test]
    fn requests_are_read_alike() {
        // RFC 9111 section 5.2.1
        let read = request("max-age=10, min-fresh=5, max-stale, no-store, only-if-cached");
        assert_eq!(read.max_age, Some(Duration::from_secs(10)));
        assert_eq!(read.min_fresh, Some(Duration::from_secs(5)));
        assert_eq!(read.max_stale, Some(Duration::MAX));
        assert!(read.no_store && read.only_if_cached && !read.no_cache);
        assert_eq!(request("max-stale=x").max_stale, Some(Duration::ZERO));
        assert_eq!(request("min-fresh=x").min_fresh, Some(MAX_DELTA));
        assert_eq!(request("nothing-to-see-here"), RequestDirectives::default());
    }

    #[test]
    fn pragma_counts_only_alone() {
        // RFC 9111 section 5.4
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, HeaderValue::from_static("foo, No-Cache"));
        assert!(RequestDirectives::parse(&headers).no_cache);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        assert!(!RequestDirectives::parse(&headers).no_cache);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line in proptest::collection::vec(0x20u8..=0xff, 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.insert(CACHE_CONTROL, value);
                ResponseDirectives::parse(&headers);
                RequestDirectives::parse(&headers);
            }
        }

        #[test]
        fn nothing_hides_a_no_store(before in "[ -~]{0,40}", after in "[ -~]{0,40}") {
            // A line of its own cannot be reached by anything in other lines.
            prop_assert!(response(&[&before, "no-store", &after]).no_store);
        }
    }
}

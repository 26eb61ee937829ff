//! Parses `Cache-Control` (RFC 9111 section 5.2, RFC 5861, RFC 8246), in its most restrictive reading.
//!
//! Of repeated directives the stricter applies, and a lifetime that cannot be parsed is zero
//! (section 4.2.1 encourages caches to consider such responses stale).

use std::time::Duration;

use http::{
    HeaderMap, HeaderName,
    header::{CACHE_CONTROL, PRAGMA},
};

use super::list::{self, Members};

/// The largest number of seconds; larger numbers are reduced to it (RFC 9111 section 1.2.2).
pub(crate) const MAX_DELTA: Duration = Duration::from_secs(1 << 31);

/// The part of a response that `no-cache` or `private` applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coverage {
    #[default]
    Nothing,
    /// Only these fields: the qualified form of the directive.
    Fields(Vec<HeaderName>),
    Whole,
}

impl Coverage {
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

    /// Parses the argument of a qualified directive. Without names, or with an invalid one, the
    /// directive applies to the whole response.
    pub(super) fn of(argument: &[u8]) -> Self {
        let names: Option<Vec<_>> = list::unquote(argument).and_then(|names| {
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
    pub(crate) no_cache: Coverage,
    pub(crate) private: Coverage,
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
        let mut directives = Self::default();
        for member in list::members(headers, &CACHE_CONTROL) {
            directives.add(&Directive::parse(member));
        }
        directives
    }

    fn add(&mut self, directive: &Directive<'_>) {
        if directive.is("max-age") {
            keep_shorter(&mut self.max_age, directive.lifetime());
        } else if directive.is("s-maxage") {
            keep_shorter(&mut self.s_maxage, directive.lifetime());
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("no-cache") {
            self.no_cache.widen(directive.coverage());
        } else if directive.is("private") {
            self.private.widen(directive.coverage());
        } else if directive.is("public") {
            // With an argument it is not the standard's directive, and permits nothing.
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
            keep_shorter(&mut self.stale_while_revalidate, directive.lifetime());
        } else if directive.is("stale-if-error") {
            keep_shorter(&mut self.stale_if_error, directive.lifetime());
        }
    }

    /// Whether the response to a request with credentials may be used for others (section 3.5).
    pub(crate) fn shares(&self) -> bool {
        self.public || self.s_maxage.is_some() || self.must_revalidate
    }

    /// Whether a shared cache must never use the response stale (sections 5.2.2.2, .8 and .10).
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }
}

/// The directives of a request (RFC 9111 section 5.2.1, RFC 5861 section 4), from `Cache-Control`
/// or `Pragma`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestCacheControl {
    pub(crate) max_age: Option<Duration>,
    pub(crate) min_fresh: Option<Duration>,
    /// [`Duration::MAX`] if any staleness is accepted.
    pub(crate) max_stale: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}

impl RequestCacheControl {
    /// Does not allocate.
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        if headers.contains_key(CACHE_CONTROL) {
            for member in list::members(headers, &CACHE_CONTROL) {
                directives.add(&Directive::parse(member));
            }
        } else if headers.contains_key(PRAGMA) {
            // Section 5.4: only if `Cache-Control` is absent.
            directives.no_cache = list::members(headers, &PRAGMA)
                .any(|member| member.eq_ignore_ascii_case(b"no-cache"));
        }
        directives
    }

    fn add(&mut self, directive: &Directive<'_>) {
        if directive.is("max-age") {
            keep_shorter(&mut self.max_age, directive.lifetime());
        } else if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("max-stale") {
            let limit = directive.argument.map(|_| directive.lifetime());
            keep_shorter(&mut self.max_stale, limit.unwrap_or(Duration::MAX));
        } else if directive.is("min-fresh") {
            let wanted = directive.seconds().unwrap_or(MAX_DELTA);
            self.min_fresh = self.min_fresh.max(Some(wanted));
        } else if directive.is("stale-if-error") {
            keep_shorter(&mut self.stale_if_error, directive.lifetime());
        }
    }
}

fn keep_shorter(kept: &mut Option<Duration>, found: Duration) {
    *kept = Some(kept.map_or(found, |kept| kept.min(found)));
}

struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
}

impl<'a> Directive<'a> {
    fn parse(member: &'a [u8]) -> Self {
        let mut parts = member.splitn(2, |&byte| byte == b'=');
        Self {
            name: parts.next().unwrap_or_default(),
            argument: parts.next(),
        }
    }

    /// White space before the `=` is an error, but must not make a directive less restrictive.
    fn is(&self, name: &str) -> bool {
        self.name
            .trim_ascii_end()
            .eq_ignore_ascii_case(name.as_bytes())
    }

    fn seconds(&self) -> Option<Duration> {
        if self.name.last().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        delta_seconds(list::unquote(self.argument?)?)
    }

    /// Zero if the argument cannot be parsed.
    fn lifetime(&self) -> Duration {
        self.seconds().unwrap_or(Duration::ZERO)
    }

    fn coverage(&self) -> Coverage {
        self.argument.map_or(Coverage::Whole, Coverage::of)
    }
}

/// Parses `delta-seconds` (RFC 9111 section 1.2.2): any number of digits.
pub(crate) fn delta_seconds(digits: &[u8]) -> Option<Duration> {
    let seconds = list::number(digits)?;
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

    fn request(line: &str) -> RequestCacheControl {
        RequestCacheControl::parse(&map(&[line]))
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
    fn an_invalid_lifetime_is_zero() {
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
    fn quoted_strings_contain_no_directives() {
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
    fn permissive_directives_must_be_exact() {
        assert!(response(&["Public"]).shares());
        assert!(!response(&["public=x"]).shares());
        assert!(response(&["s-maxage=1"]).forbids_stale());
        assert!(response(&["proxy-revalidate"]).forbids_stale());
        assert!(!response(&["proxy-revalidate"]).shares());
    }

    #[test]
    fn request_directives_are_parsed() {
        // RFC 9111 section 5.2.1
        let read = request("max-age=10, min-fresh=5, max-stale, no-store, only-if-cached");
        assert_eq!(read.max_age, Some(Duration::from_secs(10)));
        assert_eq!(read.min_fresh, Some(Duration::from_secs(5)));
        assert_eq!(read.max_stale, Some(Duration::MAX));
        assert!(read.no_store && read.only_if_cached && !read.no_cache);
        assert_eq!(request("max-stale=x").max_stale, Some(Duration::ZERO));
        assert_eq!(request("min-fresh=x").min_fresh, Some(MAX_DELTA));
        assert_eq!(
            request("nothing-to-see-here"),
            RequestCacheControl::default()
        );
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        // RFC 9111 section 5.4
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, HeaderValue::from_static("foo, No-Cache"));
        assert!(RequestCacheControl::parse(&headers).no_cache);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        assert!(!RequestCacheControl::parse(&headers).no_cache);
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(line in proptest::collection::vec(0x20u8..=0xff, 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.insert(CACHE_CONTROL, value);
                ResponseDirectives::parse(&headers);
                RequestCacheControl::parse(&headers);
            }
        }

        #[test]
        fn other_lines_never_hide_a_no_store(before in "[ -~]{0,40}", after in "[ -~]{0,40}") {
            // Nothing in one line can affect another.
            prop_assert!(response(&[&before, "no-store", &after]).no_store);
        }
    }
}

//! `Cache-Status` (RFC 9211): how this cache handled a request.

use std::io::Write;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::freshness::Reason;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The name of this cache in the field (section 2).
pub(crate) const NAME: &str = "tower-keep";

/// Why a request was forwarded (section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Request,
    Stale,
    Partial,
}

impl Forward {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl From<Reason> for Forward {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Stale => Self::Stale,
            Reason::Request => Self::Request,
        }
    }
}

/// How the request was handled; `hit` and `fwd` exclude each other (section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheOutcome {
    Hit,
    Forward {
        reason: Forward,
        /// The status of the next hop's response, if the client gets another one.
        status: Option<StatusCode>,
        stored: bool,
        /// Whether another request's response was used; `None` if that was not tried.
        collapsed: Option<bool>,
    },
}

/// One member of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheStatus {
    pub(crate) outcome: CacheOutcome,
    /// Seconds of freshness left, negative when stale.
    pub(crate) ttl: Option<i64>,
    /// A token.
    pub(crate) detail: Option<&'static str>,
}

impl CacheStatus {
    pub(crate) const fn hit(ttl: i64) -> Self {
        Self::new(CacheOutcome::Hit).ttl(ttl)
    }

    pub(crate) const fn forward(reason: Forward) -> Self {
        Self::new(CacheOutcome::Forward {
            reason,
            status: None,
            stored: false,
            collapsed: None,
        })
    }

    /// The status of the next hop's response; has no effect on a hit.
    #[must_use]
    pub(crate) const fn status(mut self, next_hop: StatusCode) -> Self {
        if let CacheOutcome::Forward { status, .. } = &mut self.outcome {
            *status = Some(next_hop);
        }
        self
    }

    /// Whether the response was stored; has no effect on a hit.
    #[must_use]
    pub(crate) const fn stored(mut self, yes: bool) -> Self {
        if let CacheOutcome::Forward { stored, .. } = &mut self.outcome {
            *stored = yes;
        }
        self
    }

    /// Whether another request's response was used; has no effect on a hit.
    #[must_use]
    pub(crate) const fn collapsed(mut self, yes: bool) -> Self {
        if let CacheOutcome::Forward { collapsed, .. } = &mut self.outcome {
            *collapsed = Some(yes);
        }
        self
    }

    /// Seconds of freshness left, negative when stale.
    #[must_use]
    pub(crate) const fn ttl(mut self, seconds: i64) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// A token that says more about how the request was handled.
    #[must_use]
    pub(crate) const fn detail(mut self, token: &'static str) -> Self {
        self.detail = Some(token);
        self
    }

    const fn new(outcome: CacheOutcome) -> Self {
        Self {
            outcome,
            ttl: None,
            detail: None,
        }
    }

    /// Appends this cache's member after those of caches nearer to the origin.
    ///
    /// The member gets its own line, which is equivalent (RFC 9110 section 5.3) and leaves the
    /// lines of other caches untouched, well-formed or not.
    pub(crate) fn append(&self, headers: &mut HeaderMap) {
        headers.append(CACHE_STATUS, self.to_value());
    }

    pub(crate) fn to_value(self) -> HeaderValue {
        let mut text = Vec::with_capacity(64);
        self.write(&mut text);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or(HeaderValue::from_static(NAME))
    }

    /// Writes the member; allocates only if `out` has too little capacity.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME.as_bytes());
        match self.outcome {
            CacheOutcome::Hit => out.extend_from_slice(b"; hit"),
            CacheOutcome::Forward { reason, status, .. } => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(reason.as_str().as_bytes());
                if let Some(status) = status {
                    out.extend_from_slice(b"; fwd-status=");
                    out.extend_from_slice(status.as_str().as_bytes());
                }
            }
        }
        if let Some(ttl) = self.ttl {
            // An Integer has at most 15 digits (RFC 9651 section 3.3.1).
            let ttl = ttl.clamp(-999_999_999_999_999, 999_999_999_999_999);
            write!(out, "; ttl={ttl}").expect("a vector takes everything");
        }
        if let CacheOutcome::Forward {
            stored, collapsed, ..
        } = self.outcome
        {
            let flags: [(bool, &[u8]); 3] = [
                (stored, b"; stored"),
                (collapsed == Some(true), b"; collapsed"),
                (collapsed == Some(false), b"; collapsed=?0"),
            ];
            for (_, text) in flags.iter().filter(|(said, _)| *said) {
                out.extend_from_slice(text);
            }
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(detail.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(status: CacheStatus) -> String {
        let value = status.to_value();
        value.to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn a_hit_has_its_ttl() {
        // RFC 9211 sections 2.1 and 2.4, and its examples
        assert_eq!(text(CacheStatus::hit(376)), "tower-keep; hit; ttl=376");
        assert_eq!(text(CacheStatus::hit(-412)), "tower-keep; hit; ttl=-412");
        assert_eq!(
            text(CacheStatus::hit(i64::MIN)),
            "tower-keep; hit; ttl=-999999999999999"
        );
    }

    #[test]
    fn a_forward_has_its_parameters() {
        // RFC 9211 sections 2.2 to 2.6
        assert_eq!(
            text(CacheStatus::forward(Forward::UriMiss)),
            "tower-keep; fwd=uri-miss"
        );
        let validated = CacheStatus::forward(Reason::Stale.into())
            .status(StatusCode::NOT_MODIFIED)
            .stored(true)
            .collapsed(false)
            .ttl(60)
            .detail("LOCAL");
        assert_eq!(
            text(validated),
            "tower-keep; fwd=stale; fwd-status=304; ttl=60; stored; collapsed=?0; detail=LOCAL"
        );
    }

    #[test]
    fn the_member_follows_those_of_other_caches() {
        // RFC 9211 section 2
        let mut headers = HeaderMap::new();
        headers.insert(
            CACHE_STATUS,
            HeaderValue::from_static("OriginCache; hit; ttl=1100"),
        );
        CacheStatus::hit(5).append(&mut headers);
        let lines: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(
            lines,
            ["OriginCache; hit; ttl=1100", "tower-keep; hit; ttl=5"]
        );
    }

    proptest! {
        #[test]
        fn any_member_is_a_valid_structured_field(ttl: i64, stored: bool, collapsed: bool) {
            let status = CacheStatus::forward(Forward::UriMiss).ttl(ttl);
            let value = status.stored(stored).collapsed(collapsed).to_value();
            let mut ignored = sfv::visitor::Ignored;
            prop_assert!(sfv::Parser::new(value.as_bytes()).parse_list_with_visitor(&mut ignored).is_ok());
        }
    }
}

//! Freshness and age (RFC 9111 section 4.2), and what may be done with a stored response.

use std::time::Duration;

use http::{
    HeaderMap, StatusCode,
    header::{AGE, DATE, EXPIRES},
};

use super::{
    cache_control::{RequestDirectives, ResponseDirectives, delta_seconds},
    dates::DateField,
    list,
};
use crate::clock::Timestamp;

/// How long a stored response may be used, and on what terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// `freshness_lifetime`, capped by the table's `max`.
    pub(crate) fresh: Duration,
    /// `corrected_initial_age` when the response was received.
    pub(crate) initial_age: Duration,
    /// RFC 5861 section 3, after the end of freshness.
    pub(crate) stale_while_revalidate: Duration,
    /// RFC 5861 section 4, after the end of freshness.
    pub(crate) stale_if_error: Duration,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never used stale.
    pub(crate) must_revalidate: bool,
    /// `no-cache`: validated before every use.
    pub(crate) no_cache: bool,
    /// The lifetime is a guess of ours (section 4.2.2).
    pub(crate) heuristic: bool,
    /// The response itself said how long it is fresh.
    pub(crate) explicit: bool,
    /// `public`, `s-maxage` or `must-revalidate`: it may be used whatever credentials the
    /// requests carry (section 3.5).
    pub(crate) shared: bool,
}

impl Lifetime {
    /// Age after `resident` time in the cache (section 4.2.3).
    #[inline]
    pub(crate) fn age(&self, resident: Duration) -> Duration {
        self.initial_age.saturating_add(resident)
    }

    /// Both at once.
    #[inline(always)]
    pub(crate) fn standing(&self, resident: Duration) -> Standing {
        let age = self.age(resident);
        let left = self.fresh.checked_sub(age).filter(|left| !left.is_zero());
        Standing { age, left }
    }

    /// What is left of the freshness after `resident` time, `None` when stale.
    #[inline]
    pub(crate) fn remaining(&self, resident: Duration) -> Option<Duration> {
        self.standing(resident).left
    }

    /// Seconds of freshness left, negative when stale: the `ttl` of RFC 9211 section 2.4.
    #[inline]
    pub(crate) fn ttl(&self, resident: Duration) -> i64 {
        let age = self.age(resident);
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        match self.fresh.checked_sub(age) {
            Some(left) => seconds(left),
            None => -seconds(age - self.fresh).max(1),
        }
    }

    /// How long after it was received a stored response is of any use, stale or not.
    ///
    /// Beyond its windows a stale response still serves for validation, and where the next hop
    /// cannot be reached (section 4.2.4).
    pub(crate) fn useful(&self, has_validator: bool) -> Duration {
        let windows = self.stale_while_revalidate.max(self.stale_if_error);
        let stale = if has_validator {
            self.fresh.clamp(STALE_FLOOR, STALE_CEILING)
        } else if self.must_revalidate || self.no_cache {
            Duration::ZERO
        } else {
            STALE_FLOOR
        };
        self.fresh
            .saturating_sub(self.initial_age)
            .saturating_add(windows.max(stale))
    }
}

/// How a stored response stands at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Section 4.2.3.
    pub(crate) age: Duration,
    /// Of its freshness; `None` when stale.
    pub(crate) left: Option<Duration>,
}

/// How long a stale response is kept beyond its windows: to be validated, as long as it was fresh,
/// in these bounds; without a validator the shorter.
const STALE_FLOOR: Duration = Duration::from_secs(3600);
const STALE_CEILING: Duration = Duration::from_secs(24 * 3600);

/// What may be done with a stored response for a request (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Fresh {
        ttl: Duration,
    },
    /// It may be used now although it has been stale for `over`.
    Stale {
        over: Duration,
        /// Within `stale-while-revalidate`: to be refreshed in the background.
        revalidate: bool,
    },
    /// It may be used only after validation, or when that fails as said here.
    Validate {
        reason: Reason,
        /// If the next hop answers 500, 502, 503 or 504 (RFC 5861 section 4).
        on_error: bool,
        /// If the next hop cannot be reached or breaks off (section 4.2.4).
        on_disconnect: bool,
    },
}

/// Why a stored response was not used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Stale,
    /// The request's directives.
    Request,
}

/// Whether, and on what terms, a response that has lain here for `resident` answers a request.
#[inline]
pub(crate) fn usable(lifetime: &Lifetime, resident: Duration, request: &RequestDirectives) -> Use {
    usable_at(lifetime, &lifetime.standing(resident), request)
}

/// The same where its age has been calculated.
#[inline(always)]
pub(crate) fn usable_at(
    lifetime: &Lifetime,
    standing: &Standing,
    request: &RequestDirectives,
) -> Use {
    if lifetime.no_cache {
        return validate(Reason::Stale, false, false);
    }
    if request.no_cache {
        return validate(Reason::Request, false, false);
    }
    match standing.left {
        Some(ttl) => usable_fresh(ttl, standing.age, request),
        None => usable_stale(lifetime, standing.age, request),
    }
}

#[inline(always)]
fn usable_fresh(ttl: Duration, age: Duration, request: &RequestDirectives) -> Use {
    let too_old = request.max_age.is_some_and(|max| age > max);
    let too_late = request.min_fresh.is_some_and(|min| ttl < min);
    if too_old || too_late {
        return validate(Reason::Request, true, true);
    }
    Use::Fresh { ttl }
}

fn usable_stale(lifetime: &Lifetime, age: Duration, request: &RequestDirectives) -> Use {
    if lifetime.must_revalidate {
        return validate(Reason::Stale, false, false);
    }
    let over = age.saturating_sub(lifetime.fresh);
    let revalidate = over < lifetime.stale_while_revalidate;
    // Section 5.2.1.1: a request with `max-age` wants nothing stale unless it says `max-stale`.
    let wanted = request.min_fresh.is_none()
        && request
            .max_age
            .is_none_or(|max| age <= max && request.max_stale.is_some());
    let accepted = request.max_stale.is_some_and(|max| over <= max);
    if wanted && (accepted || revalidate) {
        return Use::Stale { over, revalidate };
    }
    let window = lifetime
        .stale_if_error
        .max(request.stale_if_error.unwrap_or_default());
    validate(Reason::Stale, over < window, true)
}

fn validate(reason: Reason, on_error: bool, on_disconnect: bool) -> Use {
    Use::Validate {
        reason,
        on_error,
        on_disconnect,
    }
}

/// What counts as an error for `stale-if-error` (RFC 5861 section 4).
pub(crate) fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// When a request was sent and its response received, by one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) requested: Timestamp,
    pub(crate) received: Timestamp,
}

impl Exchange {
    /// `corrected_initial_age` (section 4.2.3).
    pub(crate) fn initial_age(&self, headers: &HeaderMap) -> Duration {
        let delay = self.received.since(self.requested);
        let corrected = age_value(headers).saturating_add(delay);
        self.apparent_age(headers).max(corrected)
    }

    /// In whole seconds, as `Date` has no smaller ones.
    fn apparent_age(&self, headers: &HeaderMap) -> Duration {
        let date = self.date(headers).seconds();
        Duration::from_secs(self.received.seconds().saturating_sub(date))
    }

    /// When the response was generated; when it came, if it does not say.
    pub(crate) fn date(&self, headers: &HeaderMap) -> Timestamp {
        DateField::read(headers, &DATE, self.received)
            .valid()
            .unwrap_or(self.received)
    }

    /// `freshness_lifetime` as the response gives it (section 4.2.1).
    pub(crate) fn explicit_lifetime(
        &self,
        directives: &ResponseDirectives,
        headers: &HeaderMap,
        with_expires: bool,
    ) -> Option<Duration> {
        directives
            .s_maxage
            .or(directives.max_age)
            .or_else(|| with_expires.then(|| self.expires_in(headers)).flatten())
    }

    /// An invalid `Expires` is in the past (section 5.3).
    fn expires_in(&self, headers: &HeaderMap) -> Option<Duration> {
        match DateField::read(headers, &EXPIRES, self.received) {
            DateField::Absent => None,
            DateField::Invalid => Some(Duration::ZERO),
            DateField::At(expires) => Some(expires.since(self.date(headers))),
        }
    }
}

/// `Age` (section 5.1): the first member of the first line, parameters apart; zero if it is none.
fn age_value(headers: &HeaderMap) -> Duration {
    let first = list::members(headers, &AGE).next().unwrap_or_default();
    let digits = first.split(|byte| *byte == b';').next().unwrap_or_default();
    delta_seconds(digits.trim_ascii_end()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

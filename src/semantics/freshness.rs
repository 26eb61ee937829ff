//! Freshness and age (RFC 9111 section 4.2), and the use of stored responses (section 4).

use std::time::Duration;

use http::{
    HeaderMap, StatusCode,
    header::{AGE, DATE, EXPIRES},
};

use super::{
    cache_control::{RequestCacheControl, ResponseDirectives, delta_seconds},
    dates::DateField,
    list,
};
use crate::clock::Timestamp;

/// How long a stored response may be used, and under which conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// `freshness_lifetime`, capped by the table's `max`.
    pub(crate) fresh: Duration,
    /// `corrected_initial_age` when the response was received.
    pub(crate) initial_age: Duration,
    /// How long after the end of freshness (RFC 5861 section 3).
    pub(crate) stale_while_revalidate: Duration,
    /// How long after the end of freshness (RFC 5861 section 4).
    pub(crate) stale_if_error: Duration,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never used stale.
    pub(crate) must_revalidate: bool,
    /// `no-cache`: validated before every use.
    pub(crate) no_cache: bool,
    /// The lifetime was estimated (section 4.2.2).
    pub(crate) heuristic: bool,
    /// The response stated the lifetime.
    pub(crate) explicit: bool,
    /// `public`, `s-maxage` or `must-revalidate`: it may be used for requests with any credentials
    /// (section 3.5).
    pub(crate) shared: bool,
}

impl Lifetime {
    /// The age after `resident` time in the cache (section 4.2.3).
    #[inline]
    pub(crate) fn age(&self, resident: Duration) -> Duration {
        self.initial_age.saturating_add(resident)
    }

    /// The age and remaining freshness after `resident` time in the cache.
    #[inline(always)]
    pub(crate) fn state_after(&self, resident: Duration) -> FreshnessState {
        let age = self.age(resident);
        let left = self.fresh.checked_sub(age).filter(|left| !left.is_zero());
        FreshnessState { age, left }
    }

    /// The remaining freshness after `resident` time in the cache; `None` when stale.
    #[inline]
    pub(crate) fn remaining(&self, resident: Duration) -> Option<Duration> {
        self.state_after(resident).left
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

    /// How long after it was received a stored response can be used, fresh or stale.
    ///
    /// After the windows of RFC 5861, a stale response can still be validated, or be used if the next
    /// hop cannot be reached (section 4.2.4).
    pub(crate) fn retention(&self, has_validator: bool) -> Duration {
        let windows = self.stale_while_revalidate.max(self.stale_if_error);
        let stale = if has_validator {
            self.fresh.clamp(MIN_STALE, MAX_STALE)
        } else if self.must_revalidate || self.no_cache {
            Duration::ZERO
        } else {
            MIN_STALE
        };
        self.fresh
            .saturating_sub(self.initial_age)
            .saturating_add(windows.max(stale))
    }
}

/// The age and remaining freshness of a stored response at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreshnessState {
    /// `current_age` (section 4.2.3).
    pub(crate) age: Duration,
    /// The remaining freshness; `None` when stale.
    pub(crate) left: Option<Duration>,
}

/// Bounds of the time that a stale response is kept after its windows. With a validator it is kept
/// as long as it was fresh, within these bounds; without one, for the lower bound.
const MIN_STALE: Duration = Duration::from_secs(3600);
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// How a stored response may be used for a request (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usability {
    Fresh {
        ttl: Duration,
    },
    /// It may be used although it has been stale for `over`.
    Stale {
        over: Duration,
        /// Whether `stale-while-revalidate` allows it: then the response is refreshed in the background.
        revalidate: bool,
    },
    /// It may be used only after validation, or if the validation fails in one of these ways.
    Validate {
        reason: Reason,
        /// The next hop responds with 500, 502, 503 or 504 (RFC 5861 section 4).
        on_error_status: bool,
        /// The next hop cannot be reached, or the connection breaks (section 4.2.4).
        on_service_error: bool,
    },
}

/// Why a stored response must be validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Stale,
    /// The request's directives demand it.
    Request,
}

/// Decides how a response that has been stored for `resident` time may be used for a request.
#[inline]
pub(crate) fn usable(
    lifetime: &Lifetime,
    resident: Duration,
    request: &RequestCacheControl,
) -> Usability {
    usable_at(lifetime, &lifetime.state_after(resident), request)
}

/// Decides like [`usable`], with the age already calculated.
#[inline(always)]
pub(crate) fn usable_at(
    lifetime: &Lifetime,
    state: &FreshnessState,
    request: &RequestCacheControl,
) -> Usability {
    if lifetime.no_cache {
        return validate(Reason::Stale, false, false);
    }
    if request.no_cache {
        return validate(Reason::Request, false, false);
    }
    match state.left {
        Some(ttl) => usable_fresh(ttl, state.age, request),
        None => usable_stale(lifetime, state.age, request),
    }
}

#[inline(always)]
fn usable_fresh(ttl: Duration, age: Duration, request: &RequestCacheControl) -> Usability {
    let too_old = request.max_age.is_some_and(|max| age > max);
    let too_late = request.min_fresh.is_some_and(|min| ttl < min);
    if too_old || too_late {
        return validate(Reason::Request, true, true);
    }
    Usability::Fresh { ttl }
}

fn usable_stale(lifetime: &Lifetime, age: Duration, request: &RequestCacheControl) -> Usability {
    if lifetime.must_revalidate {
        return validate(Reason::Stale, false, false);
    }
    let over = age.saturating_sub(lifetime.fresh);
    let revalidate = over < lifetime.stale_while_revalidate;
    // Section 5.2.1.1: a request with `max-age` accepts stale responses only with `max-stale`.
    let acceptable = request.min_fresh.is_none()
        && request
            .max_age
            .is_none_or(|max| age <= max && request.max_stale.is_some());
    let within_max_stale = request.max_stale.is_some_and(|max| over <= max);
    if acceptable && (within_max_stale || revalidate) {
        return Usability::Stale { over, revalidate };
    }
    let window = lifetime
        .stale_if_error
        .max(request.stale_if_error.unwrap_or_default());
    validate(Reason::Stale, over < window, true)
}

fn validate(reason: Reason, on_error_status: bool, on_service_error: bool) -> Usability {
    Usability::Validate {
        reason,
        on_error_status,
        on_service_error,
    }
}

/// Whether a status is an error for `stale-if-error` (RFC 5861 section 4).
pub(crate) fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// When a request was sent and its response received, on the same clock.
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

    /// `apparent_age` (section 4.2.3), in whole seconds, the resolution of `Date`.
    fn apparent_age(&self, headers: &HeaderMap) -> Duration {
        let date = self.date(headers).seconds();
        Duration::from_secs(self.received.seconds().saturating_sub(date))
    }

    /// When the response was generated; if it has no valid `Date`, when it was received.
    pub(crate) fn date(&self, headers: &HeaderMap) -> Timestamp {
        DateField::read(headers, &DATE, self.received)
            .valid()
            .unwrap_or(self.received)
    }

    /// `freshness_lifetime` as stated by the response (section 4.2.1).
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

    /// The lifetime until `Expires`. An invalid `Expires` is a time in the past (section 5.3).
    fn expires_in(&self, headers: &HeaderMap) -> Option<Duration> {
        match DateField::read(headers, &EXPIRES, self.received) {
            DateField::Absent => None,
            DateField::Invalid => Some(Duration::ZERO),
            DateField::At(expires) => Some(expires.since(self.date(headers))),
        }
    }
}

/// `Age` (section 5.1): the first member of the first line, without parameters; zero if it is
/// invalid.
fn age_value(headers: &HeaderMap) -> Duration {
    let first = list::members(headers, &AGE).next().unwrap_or_default();
    let digits = first.split(|byte| *byte == b';').next().unwrap_or_default();
    delta_seconds(digits.trim_ascii_end()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! What the table says about the responses of a route.

use std::time::Duration;

use http::{HeaderName, StatusCode};

/// Who may share a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// RFC 9111 decides, section 3.5 above all.
    #[default]
    Standard,
    /// The route vouches that everybody gets the same answer.
    Public,
    /// The user is part of the key.
    User,
}

/// The table's word on one request's response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy<'a> {
    pub(crate) scope: Scope,
    /// The entity's TTL; only a listed route has one.
    pub(crate) ttl: Option<Duration>,
    /// The table's TTL counts even where the response gives its own.
    pub(crate) override_: bool,
    /// TTLs by status, for responses that give none.
    pub(crate) negative: &'a [(StatusCode, Duration)],
    /// No response stays fresh longer, counted from when it was received.
    pub(crate) max: Duration,
    /// Fields that are never stored.
    pub(crate) strip: &'a [HeaderName],
    /// Where the response gives none.
    pub(crate) stale_while_revalidate: Option<Duration>,
    /// Where the response gives none.
    pub(crate) stale_if_error: Option<Duration>,
    /// Whether freshness may be guessed (RFC 9111 section 4.2.2); only for unlisted paths.
    pub(crate) heuristic: bool,
    /// The route vouches that this method is safe, and its content is part of the key.
    pub(crate) safe_method: bool,
    /// Whether a 206 may be stored as a part (RFC 9111 section 3.3).
    pub(crate) partial: bool,
    /// Whether the request's own directives are obeyed.
    pub(crate) request_directives: bool,
}

impl Policy<'_> {
    /// RFC 9111 alone, for a path that no route names.
    pub(crate) const STANDARD: Policy<'static> = Policy {
        scope: Scope::Standard,
        ttl: None,
        override_: false,
        negative: &[],
        max: Duration::from_secs(30 * 24 * 3600),
        strip: &[],
        stale_while_revalidate: None,
        stale_if_error: None,
        heuristic: true,
        safe_method: false,
        partial: true,
        request_directives: true,
    };

    pub(crate) fn strips(&self, name: &HeaderName) -> bool {
        self.strip.contains(name)
    }

    /// The table's TTL for a status, if it has one.
    pub(crate) fn ttl_of(&self, status: StatusCode) -> Option<Duration> {
        if matches!(status.as_u16(), 200 | 203 | 204 | 301 | 308) && self.ttl.is_some() {
            return self.ttl;
        }
        let named = self.negative.iter().find(|(named, _)| *named == status);
        named.map(|(_, ttl)| *ttl)
    }
}

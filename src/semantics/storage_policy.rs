//! The table's settings for the storage of responses.

use std::time::Duration;

use http::{HeaderName, StatusCode};

/// Who may share a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SharingScope {
    /// RFC 9111 decides, in particular section 3.5.
    #[default]
    Standard,
    /// All clients: the route guarantees that the response is the same for all.
    Public,
    /// Only one user, who is part of the key.
    User,
}

/// The settings for the response to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoragePolicy<'a> {
    pub(crate) scope: SharingScope,
    /// The TTL of responses that state no lifetime: the route's, or for a path that no route names,
    /// the layer's.
    pub(crate) ttl: Option<Duration>,
    /// Whether the table's TTL takes precedence over the response's own.
    pub(crate) override_freshness: bool,
    /// TTLs by status, for responses that state no lifetime.
    pub(crate) negative: &'a [(StatusCode, Duration)],
    /// The longest lifetime, counted from when the response was received.
    pub(crate) max: Duration,
    /// Fields that are never stored.
    pub(crate) strip: &'a [HeaderName],
    /// The default for responses without this directive.
    pub(crate) stale_while_revalidate: Option<Duration>,
    /// The default for responses without this directive.
    pub(crate) stale_if_error: Option<Duration>,
    /// Whether freshness may be estimated (RFC 9111 section 4.2.2); only for paths that no route
    /// names, and only if the table allows it.
    pub(crate) heuristic: bool,
    /// Whether the route declares the method safe, with the content as part of the key.
    pub(crate) safe_method: bool,
    /// Whether a 206 may be stored as a part (RFC 9111 section 3.3).
    pub(crate) partial: bool,
    /// Whether the request's own directives are obeyed.
    pub(crate) request_directives: bool,
}

impl StoragePolicy<'_> {
    /// The settings by which RFC 9111 alone decides.
    pub(crate) const STANDARD: StoragePolicy<'static> = StoragePolicy {
        scope: SharingScope::Standard,
        ttl: None,
        override_freshness: false,
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

    /// The table's TTL for a status: the entity's for a success, or the one by status.
    pub(crate) fn ttl_of(&self, status: StatusCode) -> Option<Duration> {
        if matches!(status.as_u16(), 200 | 203 | 204) && self.ttl.is_some() {
            return self.ttl;
        }
        let named = self.negative.iter().find(|(named, _)| *named == status);
        named.map(|(_, ttl)| *ttl)
    }
}

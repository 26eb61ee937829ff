//! Which responses may be stored, and for how long (RFC 9111 section 3).

use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, SET_COOKIE},
};

use super::{
    cache_control::RequestDirectives,
    etag::{self, EntityTag},
    freshness::{Exchange, Lifetime},
    heuristics, invalidation,
    lifetime::Response,
    partial::ContentRange,
    policy::{Policy, Scope},
    sharing::{self, Credentials},
    targeted::Binding,
    vary::VaryFields,
};

/// What counts of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) credentials: Credentials,
    /// Host and port, if known.
    pub(crate) authority: Option<&'a str>,
    /// Path and query as received.
    pub(crate) target: &'a str,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Method,
    Status,
    NoStore,
    Private,
    SetCookie,
    Credentials,
    Vary,
    Stream,
    Partial,
    /// No lifetime, and nothing to validate it by.
    NoLifetime,
    /// Larger than the route's or the layer's bound.
    Size,
    /// The layer's own condition.
    Condition,
    /// A tag's value is missing.
    Tags,
}

impl Refusal {
    /// For `detail` of `Cache-Status`, events and metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::Credentials => "credentials",
            Self::Vary => "vary",
            Self::Stream => "stream",
            Self::Partial => "partial",
            Self::NoLifetime => "no-lifetime",
            Self::Size => "size",
            Self::Condition => "condition",
            Self::Tags => "tags",
        }
    }

    /// Whether the next response for this key is likely to be refused too.
    pub(crate) fn is_lasting(self) -> bool {
        !matches!(self, Self::Status | Self::Partial | Self::Credentials)
    }
}

/// Whether to store the response to `request`, and how long it may be used.
///
/// A lifetime of zero means: for validation, or for use when stale.
pub(crate) fn decide(
    request: &RequestHead<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    exchange: &Exchange,
    policy: &Policy<'_>,
) -> Result<Lifetime, Refusal> {
    let binding = Binding::of(headers);
    permitted(request, status, headers, policy, &binding)?;
    let response = Response {
        status,
        headers,
        exchange,
        binding: &binding,
    };
    response
        .lifetime(request, policy)
        .ok_or(Refusal::NoLifetime)
}

fn permitted(
    request: &RequestHead<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    policy: &Policy<'_>,
    binding: &Binding,
) -> Result<(), Refusal> {
    let directives = &binding.directives;
    permitted_method(request, headers, policy)?;
    permitted_status(status, headers, policy)?;
    let understood = heuristics::is_understood(status);
    if directives.must_understand && !understood {
        return Err(Refusal::Status);
    }
    // Section 5.2.2.3: whoever understands `must-understand` ignores the `no-store` beside it.
    if directives.no_store && !directives.must_understand {
        return Err(Refusal::NoStore);
    }
    if policy.request_directives && RequestDirectives::parse(request.headers).no_store {
        return Err(Refusal::NoStore);
    }
    if directives.private.is_whole() && policy.scope != Scope::User {
        return Err(Refusal::Private);
    }
    if headers.contains_key(SET_COOKIE) && !leaves_out_cookies(policy, binding) {
        return Err(Refusal::SetCookie);
    }
    if is_stream(headers) {
        return Err(Refusal::Stream);
    }
    VaryFields::of(headers, &[]).map_err(|_| Refusal::Vary)?;
    if sharing::may_store(request.credentials, policy.scope, directives) {
        Ok(())
    } else {
        Err(Refusal::Credentials)
    }
}

/// GET, QUERY, and what the route vouches for; POST where its answer is also that of a later GET
/// (RFC 9110 section 9.3.3).
fn permitted_method(
    request: &RequestHead<'_>,
    headers: &HeaderMap,
    policy: &Policy<'_>,
) -> Result<(), Refusal> {
    let storable = match request.method {
        &Method::GET => true,
        &Method::POST => policy.safe_method || invalidation::is_own_location(request, headers),
        method => policy.safe_method || invalidation::is_query(method),
    };
    storable.then_some(()).ok_or(Refusal::Method)
}

fn permitted_status(
    status: StatusCode,
    headers: &HeaderMap,
    policy: &Policy<'_>,
) -> Result<(), Refusal> {
    match status.as_u16() {
        206 if policy.partial && ContentRange::of(headers).is_some() => Ok(()),
        206 => Err(Refusal::Partial),
        // These answer preconditions, ranges and proxies' own business, not the target URI.
        ..200 | 304 | 407 | 412 | 416 => Err(Refusal::Status),
        // RFC 6585: how one client asks, how often, or over which network. A table may know better.
        428 | 429 | 431 | 511 if policy.ttl_of(status).is_none() => Err(Refusal::Status),
        _ => Ok(()),
    }
}

/// `Set-Cookie` is harmless where it is not among the fields that are stored.
fn leaves_out_cookies(policy: &Policy<'_>, binding: &Binding) -> bool {
    policy.strips(&SET_COOKIE)
        || binding.directives.no_cache.fields().contains(&SET_COOKIE)
        || binding.directives.private.fields().contains(&SET_COOKIE)
}

/// Streams that never end.
fn is_stream(headers: &HeaderMap) -> bool {
    const STREAMS: [&[u8]; 2] = [b"text/event-stream", b"multipart/x-mixed-replace"];
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let media_type = value.as_bytes().split(|byte| *byte == b';').next();
        let media_type = media_type.unwrap_or_default().trim_ascii();
        STREAMS
            .iter()
            .any(|stream| stream.eq_ignore_ascii_case(media_type))
    })
}

/// Whether a stored response can be validated by what it says of itself.
///
/// Only a success can: a 304 speaks of the representation, not of an error or a redirection.
pub(crate) fn can_be_validated(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success()
        && (EntityTag::of(headers).is_some() || etag::modification(headers).is_some())
}

#[cfg(test)]
mod tests;

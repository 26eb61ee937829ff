//! Decides which responses may be stored, and for how long (RFC 9111 section 3).

use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, SET_COOKIE},
};

use super::{
    cache_control::RequestCacheControl,
    freshness::{Exchange, Lifetime},
    heuristics, invalidation,
    lifetime::StorableResponse,
    partial::ContentRange,
    request_head::RequestHead,
    sharing,
    storage_policy::{SharingScope, StoragePolicy},
    targeted::EffectiveDirectives,
    vary::VaryFields,
};

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
    /// Neither a lifetime nor a validator.
    NoLifetime,
    /// Larger than the route or the layer allows.
    Size,
    /// The layer's `store_if` condition.
    Condition,
    /// The value of a tag is missing, or a tag is malformed.
    Tags,
    /// A gRPC call that has not succeeded.
    GrpcStatus,
}

impl Refusal {
    /// The word for `detail` of `Cache-Status`, events and metrics.
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
            Self::Tags => "tag",
            Self::GrpcStatus => "grpc-status",
        }
    }

    /// Whether the next response for this key is likely to be refused too.
    pub(crate) fn is_lasting(self) -> bool {
        !matches!(
            self,
            Self::Status | Self::Partial | Self::Credentials | Self::GrpcStatus
        )
    }
}

/// Decides whether to store the response to `request`, and how long it may be used.
///
/// A response with a lifetime of zero is stored for validation, or for use when stale.
pub(crate) fn decide(
    request: &RequestHead<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    exchange: &Exchange,
    policy: &StoragePolicy<'_>,
) -> Result<Lifetime, Refusal> {
    let effective = EffectiveDirectives::of(headers);
    check(request, status, headers, policy, &effective)?;
    let response = StorableResponse {
        status,
        headers,
        exchange,
        effective: &effective,
    };
    response
        .lifetime(request, policy)
        .ok_or(Refusal::NoLifetime)
}

fn check(
    request: &RequestHead<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    policy: &StoragePolicy<'_>,
    effective: &EffectiveDirectives,
) -> Result<(), Refusal> {
    let directives = &effective.directives;
    check_method(request, headers, policy)?;
    check_status(status, headers, policy)?;
    let understood = heuristics::is_understood(status);
    if directives.must_understand && !understood {
        return Err(Refusal::Status);
    }
    // Section 5.2.2.3: a cache that implements `must-understand` ignores a `no-store` beside it.
    if directives.no_store && !directives.must_understand {
        return Err(Refusal::NoStore);
    }
    if policy.request_directives && RequestCacheControl::parse(request.headers).no_store {
        return Err(Refusal::NoStore);
    }
    if directives.private.is_whole() && policy.scope != SharingScope::User {
        return Err(Refusal::Private);
    }
    if headers.contains_key(SET_COOKIE) && !leaves_out_cookies(policy, effective) {
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

/// Permits GET, QUERY, methods that the route declares safe, and POST if its response also answers
/// a later GET (RFC 9110 section 9.3.3).
fn check_method(
    request: &RequestHead<'_>,
    headers: &HeaderMap,
    policy: &StoragePolicy<'_>,
) -> Result<(), Refusal> {
    let storable = match request.method {
        &Method::GET => true,
        &Method::POST => policy.safe_method || invalidation::is_own_location(request, headers),
        method => policy.safe_method || invalidation::is_query(method),
    };
    storable.then_some(()).ok_or(Refusal::Method)
}

fn check_status(
    status: StatusCode,
    headers: &HeaderMap,
    policy: &StoragePolicy<'_>,
) -> Result<(), Refusal> {
    match status.as_u16() {
        206 if policy.partial && ContentRange::of(headers).is_some() => Ok(()),
        206 => Err(Refusal::Partial),
        ..200 | 304 => Err(Refusal::Status),
        _ if is_about_request(status) => Err(Refusal::Status),
        _ => Ok(()),
    }
}

/// Whether a response with this status is about the request's own form, its client or its
/// connection, and not about the target: another request for the same target may get another
/// response. Such a response is never stored, and says nothing about a stored one. Otherwise one
/// client could send a request that the origin refuses, and have the refusal stored for all.
///
/// 405 and 501 are about the method, which is part of the key, and 401 and 403 about credentials,
/// for which RFC 9111 section 3.5 has its own rule.
pub(crate) fn is_about_request(status: StatusCode) -> bool {
    match status.as_u16() {
        // RFC 9110: the syntax (400), timing (408), framing (411), size (413, 414), content (415,
        // 422) and fields (406, 407, 412, 416, 417) of the request, and its connection and
        // protocol (421, 426, 505).
        400 | 406..=408 | 411..=417 | 421 | 422 | 426 | 505 => true,
        // RFC 8470: early data; RFC 6585: preconditions, rate, size of fields, network access.
        425 | 428 | 429 | 431 | 511 => true,
        _ => false,
    }
}

/// Whether a response that may not be stored, for the reason `refusal`, shows that the stored
/// response for the same target is out of date (RFC 9111 section 4.3.3).
pub(crate) fn supersedes(status: StatusCode, refusal: Refusal) -> bool {
    match refusal {
        // The response to a HEAD has no content.
        Refusal::Method => false,
        // Neither an interim response, nor a part of a response.
        _ => !matches!(status.as_u16(), ..200 | 206 | 304) && !is_about_request(status),
    }
}

/// Whether `Set-Cookie` is not among the fields that are stored.
fn leaves_out_cookies(policy: &StoragePolicy<'_>, effective: &EffectiveDirectives) -> bool {
    policy.strips(&SET_COOKIE)
        || effective.directives.no_cache.fields().contains(&SET_COOKIE)
        || effective.directives.private.fields().contains(&SET_COOKIE)
}

/// Whether the media type is one of endless streams.
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

#[cfg(test)]
mod tests;

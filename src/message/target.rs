//! The target of a request as it was received: its URI, authority and matched route.

use http::{
    Extensions, HeaderMap, HeaderValue, Uri, Version,
    header::HOST,
    request,
    uri::{Authority, Scheme},
};

/// The parts of a request's target from which keys are made and routes are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// That of a target in absolute form, or of HTTP/2; `None` if the request does not state it.
    pub(crate) scheme: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self {
            scheme: uri.scheme_str(),
            path: uri.path(),
            query: uri.query(),
            host: authority(uri, headers),
        }
    }
}

/// The URI as received, before a router removed a prefix: axum's `OriginalUri` (feature `axum`),
/// else `uri`.
pub(crate) fn original_uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    let _ = extensions;
    uri
}

/// The URI in axum's `OriginalUri` (feature `axum`).
pub(crate) fn original_uri_mut(extensions: &mut Extensions) -> Option<&mut Uri> {
    #[cfg(feature = "axum")]
    return extensions
        .get_mut::<axum::extract::OriginalUri>()
        .map(|original| &mut original.0);
    #[cfg(not(feature = "axum"))]
    {
        let _ = extensions;
        None
    }
}

/// The URI without a parameter of its query, which stands between `&` or `;` in exactly these bytes.
/// `None` if what is left is no URI.
pub(crate) fn without_parameter(uri: &Uri, parameter: &str) -> Option<Uri> {
    let Some(query) = uri.query() else {
        return Some(uri.clone());
    };
    let mut kept = String::with_capacity(query.len());
    let mut is_first = true;
    for group in query.split('&') {
        let left = group.split(';').filter(|pair| *pair != parameter);
        let left = left.collect::<Vec<_>>().join(";");
        if left.is_empty() && !group.is_empty() {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            kept.push('&');
        }
        kept.push_str(&left);
    }
    let mut parts = uri.clone().into_parts();
    let target = match is_first {
        true => uri.path().to_owned(),
        false => format!("{}?{kept}", uri.path()),
    };
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// The authority that the request is for (RFC 9110 section 7.2): the URI's, without the default port of
/// its scheme, else `Host`.
pub(crate) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(without_port_of(uri.scheme(), authority.as_str())),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    }
}

/// The pattern of the route that axum matched (feature `axum`).
pub(crate) fn matched_path(extensions: &Extensions) -> Option<&str> {
    #[cfg(feature = "axum")]
    return extensions
        .get::<axum::extract::MatchedPath>()
        .map(axum::extract::MatchedPath::as_str);
    #[cfg(not(feature = "axum"))]
    {
        let _ = extensions;
        None
    }
}

/// Whether the inner service could read another host from this request than [`authority`] does:
/// `Host` is repeated, differs from the URI's authority, or one of them is not just a host and a
/// port (RFC 9112 section 3.2, RFC 9110 section 4.2.4).
pub(crate) fn has_ambiguous_host(uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = uri.authority().map(Authority::as_str);
    if authority.is_some_and(|authority| !is_host_and_port(authority.as_bytes())) {
        return true;
    }
    let mut lines = headers.get_all(HOST).iter();
    let Some(host) = lines.next() else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return true;
    };
    lines.next().is_some()
        || !is_host_and_port(host.as_bytes())
        || authority.is_some_and(|other| !is_same_host(uri.scheme(), host, other))
}

/// Whether the authority has only characters of a host and a port. Userinfo and other characters are
/// left out of keys, but an application that copies `Host` into links would copy them, so such a
/// request must not share a key with others.
fn is_host_and_port(authority: &[u8]) -> bool {
    authority
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

fn is_same_host(scheme: Option<&Scheme>, one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|authority| without_port_of(scheme, authority));
    one.eq_ignore_ascii_case(other)
}

/// Removes the default port of a scheme (RFC 9110 section 4.2.3).
fn without_port_of<'a>(scheme: Option<&Scheme>, authority: &'a str) -> &'a str {
    let port = match scheme {
        Some(scheme) if *scheme == Scheme::HTTP => ":80",
        Some(scheme) if *scheme == Scheme::HTTPS => ":443",
        _ => return authority,
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// Replaces `Host` by the authority of a target in absolute form, which takes precedence over it (RFC
/// 9112 section 3.2.2), so that the inner service reads the host that keys contain.
///
/// Leaves `Host` as it is if it is repeated, which is an error, and in HTTP/2, where it must not differ.
#[inline]
pub(crate) fn replace_host(parts: &mut request::Parts) {
    if parts.uri.authority().is_some() && parts.version <= Version::HTTP_11 {
        replace_other_host(parts);
    }
}

#[cold]
fn replace_other_host(parts: &mut request::Parts) {
    let mut lines = parts.headers.get_all(HOST).iter();
    let (Some(host), None) = (lines.next(), lines.next()) else {
        return;
    };
    let authority = authority(&parts.uri, &parts.headers).unwrap_or_default();
    if host.as_bytes() != authority.as_bytes()
        && is_host_and_port(authority.as_bytes())
        && let Ok(host) = HeaderValue::from_str(authority)
    {
        parts.headers.insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_removed_with_its_separator() {
        for (uri, without) in [
            ("/p?token=a", "/p"),
            ("/p?token=a&b=1", "/p?b=1"),
            ("/p?b=1&token=a", "/p?b=1"),
            ("/p?b=1;token=a&c", "/p?b=1&c"),
            ("/p?b=1&token=a;c", "/p?b=1&c"),
            ("/p?&b&&token=a&", "/p?&b&&"),
            ("/p?token=a&token=b&token=a", "/p?token=b"),
            ("/p?token=ab", "/p?token=ab"),
            ("/p?", "/p?"),
            ("/p", "/p"),
            ("http://a.example/p?token=a", "http://a.example/p"),
        ] {
            let parsed = uri.parse().expect("a URI");
            let left = without_parameter(&parsed, "token=a").expect("a URI");
            assert_eq!(left, without, "{uri}");
        }
    }
}

//! Safe methods, and the stored responses that an unsafe request invalidates (RFC 9111 section
//! 4.4).

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_LOCATION, EXPIRES, LOCATION},
    uri::Authority,
};

use super::{list, request_head::RequestHead, targeted::EffectiveDirectives};
use crate::key::path::without_dot_segments;

/// Whether a method is safe (RFC 9110 section 9.2.1 and the registry of methods). Unknown methods
/// are not.
///
/// Methods are case-sensitive, so `get` is unknown. It changes nothing either way: a server refuses it,
/// or takes it for GET. If it were a write, anybody could empty the cache with it.
pub(crate) fn is_safe(method: &Method) -> bool {
    SAFE.iter()
        .any(|safe| method.as_str().eq_ignore_ascii_case(safe))
}

const SAFE: [&str; 8] = [
    "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH",
];

/// Whether `methods` contains the method, in whatever case: a server may accept `post` for POST.
pub(crate) fn contains_method(methods: &[Method], method: &Method) -> bool {
    let mut methods = methods.iter();
    methods.any(|listed| listed.as_str().eq_ignore_ascii_case(method.as_str()))
}

/// Whether the method is QUERY, which is safe, and whose content is part of the key.
pub(crate) fn is_query(method: &Method) -> bool {
    method.as_str() == "QUERY"
}

/// The paths, with query, whose stored responses a response invalidates; the target's is the first.
///
/// Empty for a safe method or an error. `Location` and `Content-Location` are used if they have the
/// target's origin and the response describes what the request has done: a success, or 303 (RFC 9110
/// section 15.4.4). Any other redirection, such as one to a login page, invalidates the target alone.
pub(crate) fn targets(
    request: &RequestHead<'_>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Vec<String> {
    if is_safe(request.method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut targets = vec![request.target.to_owned()];
    if !describes_outcome(status) {
        return targets;
    }
    // Neither field may be repeated. If one is, each line may be the intended one.
    let lines = [LOCATION, CONTENT_LOCATION].map(|name| headers.get_all(name));
    for reference in lines.iter().flatten() {
        if let Some(target) = same_origin(request, reference)
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }
    targets
}

/// Whether a response with this status says what an unsafe request has done: a success, or 303, which
/// refers to the result (RFC 9110 section 15.4.4). The other redirections ask for another request.
pub(crate) fn describes_outcome(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::SEE_OTHER
}

/// Whether `Content-Location` states that the response is the one that a GET of the target would
/// get.
pub(crate) fn is_own_location(request: &RequestHead<'_>, headers: &HeaderMap) -> bool {
    let own = list::sole_line(headers, &CONTENT_LOCATION)
        .and_then(|reference| same_origin(request, reference));
    own.is_some_and(|own| own == request.target) && has_explicit_freshness(headers)
}

/// Whether the response states its freshness, as a response to POST must to be stored (RFC 9110
/// section 9.3.3).
fn has_explicit_freshness(headers: &HeaderMap) -> bool {
    let effective = EffectiveDirectives::of(headers);
    let directives = &effective.directives;
    directives.s_maxage.is_some()
        || directives.max_age.is_some()
        || (!effective.targeted && headers.contains_key(EXPIRES))
}

/// Resolves a reference to path and query; `None` if it leads to another origin.
fn same_origin(request: &RequestHead<'_>, reference: &HeaderValue) -> Option<String> {
    let reference = reference.to_str().ok()?;
    let reference = reference.split('#').next().unwrap_or_default();
    if let Some((authority, rest)) = split_authority(reference) {
        let same = request
            .authority
            .is_some_and(|own| host_and_port(own) == host_and_port(authority));
        return same.then(|| resolve("/", rest));
    }
    // A reference with a scheme and no authority has another origin.
    let first = reference.split(['/', '?']).next().unwrap_or_default();
    (!first.contains(':')).then(|| resolve(request.target, reference))
}

/// Splits `http://a/b`, `https://a/b` and `//a/b` into `a` and `/b`. The scheme is ignored, because TLS
/// may be terminated in front of this cache.
fn split_authority(reference: &str) -> Option<(&str, &str)> {
    let after = reference
        .strip_prefix("//")
        .or_else(|| strip_ignoring_case(reference, "http://"))
        .or_else(|| strip_ignoring_case(reference, "https://"))?;
    let end = after.find(['/', '?']).unwrap_or(after.len());
    Some(after.split_at(end))
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Treats the default ports of both schemes as no port.
fn host_and_port(authority: &str) -> (String, Option<u16>) {
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    let Ok(parsed) = host_port.parse::<Authority>() else {
        return (host_port.to_ascii_lowercase(), None);
    };
    let port = parsed.port_u16().filter(|port| ![80, 443].contains(port));
    (parsed.host().to_ascii_lowercase(), port)
}

/// Resolves a reference without an authority (RFC 3986 section 5.2).
fn resolve(base: &str, reference: &str) -> String {
    let base_path = base.split('?').next().unwrap_or_default();
    if reference.is_empty() {
        return base.to_owned();
    }
    if reference.starts_with('?') {
        return format!("{base_path}{reference}");
    }
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let directory = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
    let resolved = if path.starts_with('/') {
        without_dot_segments(path).into_owned()
    } else {
        without_dot_segments(&format!("{directory}{path}")).into_owned()
    };
    resolved + query
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::sharing::Credentials;

    fn invalidated(method: &str, status: u16, fields: &[(HeaderName, &str)]) -> Vec<String> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
        }
        let request = RequestHead {
            method: &method,
            headers: &HeaderMap::new(),
            credentials: Credentials::None,
            authority: Some("Example.com:80"),
            target: "/a/b?c",
        };
        let status = StatusCode::from_u16(status).expect("a status");
        targets(&request, status, &headers)
    }

    fn location(reference: &str) -> Option<String> {
        invalidated("POST", 201, &[(LOCATION, reference)])
            .into_iter()
            .nth(1)
    }

    #[test]
    fn successful_unsafe_and_unknown_methods_invalidate() {
        // RFC 9111 section 4.4
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO", "put"] {
            assert_eq!(invalidated(method, 200, &[]), ["/a/b?c"], "{method}");
            assert_eq!(invalidated(method, 302, &[]), ["/a/b?c"], "{method}");
            assert!(invalidated(method, 500, &[]).is_empty(), "{method}");
            assert!(invalidated(method, 404, &[]).is_empty(), "{method}");
        }
        for method in [
            "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "get", "Head", "propfind",
        ] {
            assert!(invalidated(method, 200, &[]).is_empty(), "{method}");
        }
    }

    #[test]
    fn references_to_the_same_origin_are_resolved() {
        // RFC 3986 section 5.2, RFC 9111 section 4.4
        for (reference, target) in [
            ("/x?y", "/x?y"),
            ("x", "/a/x"),
            ("../x#f", "/x"),
            ("./", "/a/"),
            ("?z", "/a/b?z"),
            ("http://EXAMPLE.com/x", "/x"),
            ("https://example.com:443/x", "/x"),
            ("//example.com/x", "/x"),
            ("http://example.com", "/"),
            ("http://example.com?q", "/?q"),
            ("/a/../../b/.", "/b/"),
        ] {
            let found = location(reference);
            assert_eq!(found.as_deref(), Some(target), "{reference}");
        }
    }

    #[test]
    fn references_to_another_origin_are_ignored() {
        for reference in [
            "http://example.org/x",
            "http://example.com:8080/x",
            "//example.com.evil/x",
            "http://example.com@evil/x",
            "mailto:a@example.com",
            "urn:x:y",
        ] {
            assert_eq!(location(reference), None, "{reference}");
        }
    }

    #[test]
    fn a_redirection_other_than_303_invalidates_its_target_alone() {
        // RFC 9110 section 15.4, RFC 9111 section 4.4
        for status in [300, 301, 302, 307, 308] {
            let seen = invalidated("POST", status, &[(LOCATION, "/login")]);
            assert_eq!(seen, ["/a/b?c"], "{status}");
        }
        let seen = invalidated("POST", 303, &[(LOCATION, "/result")]);
        assert_eq!(seen, ["/a/b?c", "/result"]);
    }

    #[test]
    fn equal_fields_count_once() {
        let fields = [(LOCATION, "/x"), (CONTENT_LOCATION, "/x")];
        assert_eq!(invalidated("PUT", 204, &fields), ["/a/b?c", "/x"]);
    }

    #[test]
    fn repeated_fields_all_invalidate_but_do_not_permit_storing() {
        // RFC 9110 sections 5.3, 8.7 and 10.2.2: neither is a list.
        let fields = [(LOCATION, "/x"), (LOCATION, "/y")];
        assert_eq!(invalidated("PUT", 204, &fields), ["/a/b?c", "/x", "/y"]);
        let own = |lines: usize| {
            let mut headers = HeaderMap::new();
            headers.insert(
                http::header::CACHE_CONTROL,
                HeaderValue::from_static("max-age=1"),
            );
            for _ in 0..lines {
                headers.append(CONTENT_LOCATION, HeaderValue::from_static("/a/b?c"));
            }
            let request = RequestHead {
                method: &Method::POST,
                headers: &HeaderMap::new(),
                credentials: Credentials::None,
                authority: None,
                target: "/a/b?c",
            };
            is_own_location(&request, &headers)
        };
        assert_eq!([own(0), own(1), own(2)], [false, true, false]);
    }

    proptest! {
        #[test]
        fn any_reference_resolves_to_a_path(reference in "\\PC{0,40}") {
            if let Ok(value) = HeaderValue::from_bytes(reference.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.insert(LOCATION, value);
                let request = RequestHead {
                    method: &Method::POST,
                    headers: &HeaderMap::new(),
                    credentials: Credentials::None,
                    authority: None,
                    target: "/",
                };
                for target in targets(&request, StatusCode::OK, &headers) {
                    prop_assert!(target.starts_with('/'));
                }
            }
        }
    }
}

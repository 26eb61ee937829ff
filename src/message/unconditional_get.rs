//! A request sent again as an unconditional GET, to fetch a whole and current representation.

use http::{
    HeaderName, Method, Request,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
        CONTENT_RANGE, CONTENT_TYPE, EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, PRAGMA, RANGE, TRAILER, TRANSFER_ENCODING,
    },
    request,
};

/// Makes a GET with the same target, credentials, extensions and fields, without the client's
/// conditions, ranges and cache directives, and without fields that describe content or replace the method.
pub(crate) fn from_request<B>(request: &Request<B>) -> request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    into_unconditional_get(parts)
}

/// [`from_request`] for a request's parts.
pub(crate) fn from_parts(parts: &request::Parts) -> request::Parts {
    into_unconditional_get(parts.clone())
}

fn into_unconditional_get(mut parts: request::Parts) -> request::Parts {
    parts.method = Method::GET;
    for name in REMOVED {
        parts.headers.remove(name);
    }
    parts
}

const REMOVED: [HeaderName; 25] = [
    CACHE_CONTROL,
    PRAGMA,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    EXPECT,
    TRAILER,
    TRANSFER_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_method_and_the_content_are_removed() {
        let fields = [
            "content-digest",
            "content-md5",
            "digest",
            "idempotency-key",
            "range",
            "repr-digest",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
        ];
        let mut request = Request::post("/a").header("accept", "a/b");
        for name in fields {
            request = request.header(name, "PUT");
        }
        let get = from_request(&request.body(()).expect("a request"));
        let left: Vec<_> = get.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!((get.method, left), (Method::GET, vec!["accept"]));
    }
}

//! The forms of a request's target (RFC 9112, 3.2).

use super::{only, proxy};
use crate::examples::{
    exchange::{fields, request, send},
    raw_origin::RawOrigin,
};

const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

/// RFC 9112, 3.2.2: a proxy ignores the received `Host`, and replaces it by the host of the target.
#[test]
fn the_host_of_an_absolute_target_replaces_host() {
    for (target, host, forwarded) in [
        ("http://a.example/path?q", "a.example", "a.example"),
        ("http://A.example/path?q", "b.example", "A.example"),
        ("http://a.example:80/path?q", "a.example:80", "a.example"),
        (
            "http://a.example:8080/path?q",
            "a.example",
            "a.example:8080",
        ),
    ] {
        let origin = RawOrigin::responding(OK);
        let proxy = proxy(&origin);
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(send(proxy.address, &bytes).status(), 200, "{target}");
        let received = only(&origin);
        assert!(
            received.starts_with("GET /path?q HTTP/1.1\r\n"),
            "{received}"
        );
        assert_eq!(fields(&received, "host"), [forwarded], "{target}");
    }
}

/// The port of an origin-form target is forwarded as received, because the scheme is unknown; so it is
/// part of the key.
#[test]
fn a_redirection_to_a_default_port_is_not_stored_for_others() {
    let moved = "HTTP/1.1 301 Moved Permanently\r\nCache-Control: max-age=60\r\nLocation: http://a:443/login\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let origin = RawOrigin::responding(moved);
    let proxy = proxy(&origin);
    let status = |host: &str| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = send(proxy.address, &bytes);
        response
            .field("cache-status")
            .unwrap_or_default()
            .to_owned()
    };
    assert!(status("a:443").contains("stored"));
    for other in ["a", "a:80"] {
        assert!(!status(other).contains("hit"), "{other}");
    }
    assert!(status("A:443").contains("hit"));
}

/// RFC 9112, 3.2.4: only OPTIONS may address the server as a whole.
#[test]
fn only_options_may_have_an_asterisk_as_target() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    for method in ["GET", "HEAD", "PUT", "POST"] {
        assert_eq!(
            request(proxy.address, method, "*", "").status(),
            400,
            "{method}"
        );
    }
    assert_eq!(origin.received(), [""; 0]);
    let answered = "Max-Forwards: 0\r\n";
    assert_eq!(
        request(proxy.address, "OPTIONS", "*", answered).status(),
        204
    );
}

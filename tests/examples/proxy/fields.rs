use super::{only, proxy};
use crate::examples::{
    exchange::{fields, get, request, send},
    raw_origin::RawOrigin,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn end_to_end_fields_pass_unchanged_both_ways() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 299 Quite Fine\r\nContent-Length: 2\r\nX-Two: 1\r\nX-Other: \"a,  b\"\r\nX-Two: 2\r\nServer: old\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nok",
    );
    let proxy = proxy(&origin);
    let response = request(
        proxy.address,
        "GET",
        "/a%2Fb?c=%20&d",
        "X-Many: 1\r\nAccept: */*\r\nX-Many: 2\r\n",
    );

    assert!(
        response.head().starts_with("HTTP/1.1 299 Quite Fine"),
        "{}",
        response.text
    );
    assert_eq!(response.all("x-two"), ["1", "2"]);
    assert_eq!(response.field("x-other"), Some("\"a,  b\""));
    assert_eq!(response.all("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(response.body(), "ok");

    let received = only(&origin);
    assert!(
        received.starts_with("GET /a%2Fb?c=%20&d HTTP/1.1\r\n"),
        "{received}"
    );
    assert_eq!(fields(&received, "x-many"), ["1", "2"]);
    assert_eq!(fields(&received, "host"), [proxy.address.to_string()]);
}

#[test]
fn connection_fields_are_not_forwarded() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Theirs, close\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: close\r\nUpgrade: h2c\r\n\r\nok",
    );
    let proxy = proxy(&origin);
    let response = send(
        proxy.address,
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close, X-Ours, Host\r\nX-Ours: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: close\r\nUpgrade: websocket\r\nTE: gzip\r\nProxy-Authorization: Basic eA==\r\n\r\n",
    );
    for name in ["x-theirs", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    let received = only(&origin);
    for name in [
        "connection",
        "x-ours",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "proxy-authorization",
    ] {
        assert!(fields(&received, name).is_empty(), "{name} in {received}");
    }
    assert_eq!(fields(&received, "host"), ["a.example"]);
}

#[test]
fn via_is_added_both_ways() {
    let origin =
        RawOrigin::responding("HTTP/1.0 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok");
    let proxy = proxy(&origin);
    let response = request(
        proxy.address,
        "GET",
        "/",
        "Via: 1.0 outer\r\nX-Forwarded-For: 192.0.2.1\r\n",
    );
    assert_eq!(response.all("via"), ["1.1 inner", "1.0 tower-keep"]);
    assert_eq!(response.body(), "ok");

    let received = only(&origin);
    assert_eq!(fields(&received, "via"), ["1.0 outer", "1.1 tower-keep"]);
    assert_eq!(
        fields(&received, "x-forwarded-for"),
        ["192.0.2.1, 127.0.0.1"]
    );
}

#[test]
fn a_missing_date_is_added() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let response = get(proxy.address, "/");
    assert_eq!(response.all("date").len(), 1, "{}", response.text);
}

#[test]
fn max_forwards_is_decremented_for_options() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let own = request(proxy.address, "OPTIONS", "/", "Max-Forwards: 0\r\n");
    assert_eq!(own.status(), 204);
    assert!(own.field("allow").is_some());
    assert!(origin.received().is_empty());

    assert_eq!(
        request(proxy.address, "OPTIONS", "*", "Max-Forwards: 7\r\n").status(),
        200
    );
    let received = only(&origin);
    assert!(received.starts_with("OPTIONS * HTTP/1.1\r\n"), "{received}");
    assert_eq!(fields(&received, "max-forwards"), ["6"]);
}

#[test]
fn trailer_fields_reach_a_client_that_accepts_them() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let proxy = proxy(&origin);
    let response = request(proxy.address, "GET", "/", "TE: trailers\r\n");
    assert!(
        response
            .body()
            .to_ascii_lowercase()
            .ends_with("0\r\nx-sum: 42\r\n\r\n"),
        "{}",
        response.text
    );
    let received = only(&origin);
    assert_eq!(fields(&received, "te"), ["trailers"]);
    assert_eq!(fields(&received, "connection"), ["te"]);
}

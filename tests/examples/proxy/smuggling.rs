//! Requests whose framing or host is ambiguous.

use super::{only, proxy};
use crate::examples::{
    exchange::{fields, send},
    raw_origin::RawOrigin,
};

const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn requests_with_ambiguous_framing_never_reach_the_origin() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
        "Content-Length : 5",
    ] {
        let bytes =
            format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\nhello");
        assert_eq!(send(proxy.address, &bytes).status(), 400, "{framing}");
        assert_eq!(origin.received(), [""; 0], "{framing}");
    }
}

#[test]
fn a_content_length_beside_chunked_is_dropped_and_the_connection_closed() {
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 50",
    ] {
        let origin = RawOrigin::responding(OK);
        let proxy = proxy(&origin);
        let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        // Read by the length, the body is `0\r\n\r` and a second request follows; it must not be answered.
        let response = send(
            proxy.address,
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n0\r\n\r\n{hidden}"),
        );
        assert_eq!(
            response.text.matches("HTTP/1.1 ").count(),
            1,
            "{}",
            response.text
        );
        let received = only(&origin);
        assert!(
            fields(&received, "content-length")
                .iter()
                .all(|length| *length == "0"),
            "{received}"
        );
        assert!(!received.contains("smuggled"));
    }
}

#[test]
fn a_body_is_never_parsed_as_a_request() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for method in ["GET", "HEAD", "DELETE", "FROB"] {
        let length = hidden.len();
        let bytes = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{hidden}"
        );
        assert_eq!(send(proxy.address, &bytes).status(), 200, "{method}");
    }
    for received in origin.received() {
        assert!(!received.starts_with("GET /smuggled"), "{received}");
        assert!(received.ends_with(hidden), "{received}");
    }
}

#[test]
fn field_values_cannot_contain_line_breaks() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    for line in [
        "X: a\rY: b",
        "X: a\0b",
        " X: folded",
        "X Y: 1",
        ": 1",
        "X\r\n",
    ] {
        let response = send(
            proxy.address,
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(response.status(), 400, "{line:?}");
    }
    assert_eq!(origin.received(), [""; 0]);
}

#[test]
fn a_request_names_one_host() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET / HTTP/1.1\r\nHost: \r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET http://user@a/ HTTP/1.1\r\nHost: user@a\r\n",
        "GET a.example HTTP/1.1\r\nHost: a.example\r\n",
    ] {
        assert_eq!(
            send(proxy.address, &format!("{head}Connection: close\r\n\r\n")).status(),
            400,
            "{head}"
        );
    }
    assert_eq!(origin.received(), [""; 0]);
}

#[test]
fn only_http_1_0_may_name_no_host() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    assert_eq!(send(proxy.address, "GET / HTTP/1.0\r\n\r\n").status(), 200);
    assert_eq!(fields(&only(&origin), "host"), [origin.address.to_string()]);
}

use std::io::{Read, Write};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use super::{only, proxy};
use crate::examples::{
    exchange::{connect, fields, get, read, request, send, with_body},
    raw_origin::RawOrigin,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn bodies_of_known_length_are_forwarded() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    assert_eq!(
        with_body(proxy.address, "PUT", "/", "", "hello").status(),
        200
    );
    let received = only(&origin);
    assert_eq!(fields(&received, "content-length"), ["5"]);
    assert!(fields(&received, "transfer-encoding").is_empty());
    assert!(received.ends_with("\r\n\r\nhello"), "{received}");
}

#[test]
fn chunked_bodies_are_forwarded_for_every_method() {
    for method in ["POST", "GET", "DELETE", "FROB"] {
        let origin = RawOrigin::responding(OK);
        let proxy = proxy(&origin);
        let bytes = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        assert_eq!(send(proxy.address, &bytes).status(), 200);
        let received = only(&origin);
        assert!(received.starts_with(method), "{received}");
        assert_eq!(fields(&received, "transfer-encoding"), ["chunked"]);
        assert!(
            received.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "{received}"
        );
    }
}

#[test]
fn a_request_without_a_body_is_forwarded_without_one() {
    for method in ["GET", "POST", "FROB"] {
        let origin = RawOrigin::responding(OK);
        let proxy = proxy(&origin);
        assert_eq!(request(proxy.address, method, "/", "").status(), 200);
        let received = only(&origin);
        assert!(
            fields(&received, "transfer-encoding").is_empty(),
            "{received}"
        );
        assert!(
            fields(&received, "content-length")
                .iter()
                .all(|length| *length == "0"),
            "{received}"
        );
    }
}

#[test]
fn chunked_responses_stay_chunked() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let proxy = proxy(&origin);
    let response = get(proxy.address, "/");
    assert_eq!(response.all("transfer-encoding"), ["chunked"]);
    assert_eq!(response.field("content-length"), None);
    assert_eq!(response.body(), "2\r\nok\r\n0\r\n\r\n");
}

#[test]
fn head_responses_keep_their_content_length_and_have_no_body() {
    let origin = RawOrigin::responding("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let proxy = proxy(&origin);
    let response = request(proxy.address, "HEAD", "/", "");
    assert_eq!(response.all("content-length"), ["1234"]);
    assert_eq!(response.body(), "");
    assert!(only(&origin).starts_with("HEAD / "));
}

#[test]
fn responses_204_and_304_have_no_body() {
    for (bytes, status) in [
        ("HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", 204),
        (
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n",
            304,
        ),
    ] {
        let origin = RawOrigin::responding(bytes);
        let proxy = proxy(&origin);
        let response = request(proxy.address, "GET", "/", "If-None-Match: \"1\"\r\n");
        assert_eq!((response.status(), response.body()), (status, ""));
        assert_eq!(response.field("transfer-encoding"), None);
    }
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let mut stream = connect(proxy.address);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut interim = [0; 25];
    stream
        .read_exact(&mut interim)
        .expect("an interim response");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").expect("it reads");
    assert_eq!(read(stream).status(), 200);
    assert!(only(&origin).ends_with("\r\n\r\nhello"));
}

#[tokio::test]
async fn an_http2_request_names_one_host() {
    // RFC 9113, 8.3.1: `Host` must not differ from `:authority`.
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    for (host, status) in [
        ("other.example".to_owned(), 400),
        (proxy.address.to_string(), 200),
    ] {
        let request = http::Request::get(format!("http://{}/", proxy.address))
            .header("host", host)
            .body(Full::default())
            .expect("it is well formed");
        let response = client.request(request).await.expect("a response");
        assert_eq!(response.status(), status);
    }
    assert_eq!(fields(&only(&origin), "host"), [proxy.address.to_string()]);
}

#[tokio::test]
async fn http2_clients_are_served() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    let request = http::Request::put(format!("http://{}/path", proxy.address));
    let request = request
        .body(Full::from("hello"))
        .expect("it is well formed");
    let response = client.request(request).await.expect("a response");
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes(),
        "ok"
    );

    let received = only(&origin);
    assert!(
        received.starts_with("PUT /path HTTP/1.1\r\n") && received.ends_with("hello"),
        "{received}"
    );
    assert_eq!(fields(&received, "host"), [proxy.address.to_string()]);
    assert_eq!(fields(&received, "via"), ["2 tower-keep"]);
}

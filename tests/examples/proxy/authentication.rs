//! Credentials, methods and cookies as the origin would take them.

use http::{Request, header::COOKIE};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{only, proxy};
use crate::examples::{
    exchange::{fields, request},
    raw_origin::RawOrigin,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The connections to the origin are shared: the origin would take the next client's requests on the
/// same connection for those of the client that has authenticated it.
#[test]
fn credentials_that_authenticate_a_connection_are_not_forwarded() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    for credentials in [
        "NTLM TlRMTVNTUAAB",
        "negotiate YIIG",
        "Kerberos x",
        "Basic eDp5, NTLM abc",
        "Basic eDp5,Negotiate",
        ", NTLM abc",
        "Digest username=\"x, NTLM abc",
        "Basic eDp5\r\nAuthorization: NTLM abc",
        "Basic eDp5\r\nAuthorization: Basic eDp5, NTLM abc",
    ] {
        let fields = format!("Authorization: {credentials}\r\n");
        let response = request(proxy.address, "GET", "/", &fields);
        assert_eq!(response.status(), 501, "{credentials}");
    }
    assert!(origin.received().is_empty());
    let basic = request(proxy.address, "GET", "/", "Authorization: Basic eDp5\r\n");
    assert_eq!(basic.status(), 200);
    assert_eq!(fields(&only(&origin), "authorization"), ["Basic eDp5"]);
}

#[test]
fn challenges_that_authenticate_a_connection_are_removed() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: NTLM\r\n\
         WWW-Authenticate: Basic realm=\"a, Negotiate\", charset=\"UTF-8\", Negotiate YIIG==, Bearer realm=\"b\"\r\n\
         WWW-Authenticate: Negotiate\r\n\r\n",
    );
    let proxy = proxy(&origin);
    let response = request(proxy.address, "GET", "/", "");
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.all("www-authenticate"),
        ["Basic realm=\"a, Negotiate\", charset=\"UTF-8\", Bearer realm=\"b\""]
    );
}

/// Limits and the cache would see another method than an origin that ignores the case.
#[test]
fn a_registered_method_in_other_letters_is_not_implemented() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    for method in ["get", "Post", "dELETE", "connect", "trace"] {
        assert_eq!(
            request(proxy.address, method, "/", "").status(),
            501,
            "{method}"
        );
    }
    assert!(origin.received().is_empty());
    assert_eq!(request(proxy.address, "brew", "/", "").status(), 200);
}

/// RFC 9113 section 8.2.3: HTTP/2 may split the cookies into several fields, HTTP/1.1 may not.
#[tokio::test]
async fn the_cookies_of_http_2_reach_the_origin_in_one_field() {
    let origin = RawOrigin::responding(OK);
    let proxy = proxy(&origin);
    let stream = TcpStream::connect(proxy.address).await.expect("connected");
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let sent = Request::get(format!("http://{}/", proxy.address))
        .header(COOKIE, "a=1")
        .header(COOKIE, "b=2; c=3")
        .body(Empty::<bytes::Bytes>::new())
        .expect("a request");
    let response = client.send_request(sent).await.expect("a response");
    assert_eq!(response.status(), 200);
    assert_eq!(fields(&only(&origin), "cookie"), ["a=1; b=2; c=3"]);
    connection.abort();
}

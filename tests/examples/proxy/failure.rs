use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    sync::{Mutex, mpsc},
    thread,
};

use rustix::process::Signal;

use super::proxy;
use crate::examples::{
    exchange::{RawResponse, get, request},
    program::Program,
    raw_origin::RawOrigin,
};

fn assert_problem(response: &RawResponse, status: u16) {
    assert_eq!(response.status(), status, "{}", response.text);
    assert_eq!(
        response.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(response.json()["status"], status);
}

#[test]
fn an_unreachable_origin_is_a_bad_gateway() {
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let proxy = Program::start("proxy", &["--origin", &format!("http://{free}")]);
    assert_problem(&get(proxy.address, "/"), 502);
}

#[test]
fn an_origin_that_hangs_up_is_a_bad_gateway() {
    let origin = RawOrigin::responding("");
    assert_problem(&get(proxy(&origin).address, "/"), 502);
}

#[test]
fn an_origin_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let origin = RawOrigin::new(move |_, _| {
        let _ = held.lock().expect("one at a time").recv();
    });
    // Dropped before the origin, which waits for it, also if an assertion fails.
    let release = release;
    let proxy = Program::start(
        "proxy",
        &["--origin", &origin.url(), "--origin-timeout", "200ms"],
    );
    assert_problem(&get(proxy.address, "/"), 504);
    drop(release);
}

#[test]
fn responses_that_are_not_http_are_a_bad_gateway() {
    for bytes in [
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, frobbed\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        let origin = RawOrigin::responding(bytes);
        let response = get(proxy(&origin).address, "/");
        assert_eq!(response.status(), 502, "{bytes:?}");
        assert_problem(&response, 502);
    }
}

#[test]
fn a_chunked_response_has_no_content_length() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let response = get(proxy(&origin).address, "/");
    assert_eq!(response.field("content-length"), None);
    assert_eq!(response.body(), "5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn an_unknown_transfer_coding_is_not_forwarded() {
    let origin =
        RawOrigin::responding("HTTP/1.1 200 OK\r\nTransfer-Encoding: frobbed\r\n\r\nhello");
    let response = get(proxy(&origin).address, "/");
    assert_eq!(response.all("transfer-encoding"), ["chunked"]);
    assert_eq!(response.body(), "5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn equal_content_lengths_are_merged() {
    let origin = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello",
    );
    let response = get(proxy(&origin).address, "/");
    assert_eq!(response.all("content-length"), ["5"]);
    assert_eq!(response.body(), "hello");
}

#[test]
fn a_response_that_breaks_off_is_not_ended_properly() {
    let sized = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nhello",
    );
    let response = get(proxy(&sized).address, "/");
    assert_eq!(response.all("content-length"), ["10"]);
    assert!(response.body().len() < 10, "{}", response.text);

    let chunked = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    let response = get(proxy(&chunked).address, "/");
    assert_eq!(response.status(), 200);
    assert!(!response.body().contains("\r\n0\r\n"), "{}", response.text);

    let bad_chunk = RawOrigin::responding(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXYZ\r\n\r\n",
    );
    let response = get(proxy(&bad_chunk).address, "/");
    assert!(!response.body().contains("\r\n0\r\n"), "{}", response.text);
}

#[test]
fn connect_and_trace_are_refused() {
    let origin = RawOrigin::responding("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let proxy = proxy(&origin);
    assert_problem(&request(proxy.address, "CONNECT", "a.example:443", ""), 501);
    assert_problem(&request(proxy.address, "TRACE", "/", ""), 501);
    assert!(origin.received().is_empty());
}

#[test]
fn the_proxy_finishes_requests_before_it_ends() {
    let (arrived, seen) = mpsc::channel::<()>();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let origin = RawOrigin::new(move |_, stream| {
        let _ = arrived.send(());
        let _ = held.lock().expect("one at a time").recv();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    });
    // Dropped before the origin, which waits for it, also if an assertion fails.
    let release = release;
    let proxy = proxy(&origin);
    let address = proxy.address;
    let client = thread::spawn(move || get(address, "/"));
    seen.recv().expect("the origin was asked");
    proxy.signal(Signal::TERM);
    // The signal has been handled once no connection is accepted.
    while let Ok(mut stream) = std::net::TcpStream::connect(address) {
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0]);
    }
    release.send(()).expect("the origin waits");
    assert_eq!(client.join().expect("it was answered").body(), "late");
    assert_eq!(proxy.wait().code(), Some(0));
}

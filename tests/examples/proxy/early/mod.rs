//! Interim responses.

#[allow(dead_code, reason = "what it needs of the example is little")]
#[path = "../../../../examples/proxy/fields.rs"]
mod fields;
#[path = "../../../../examples/proxy/interim.rs"]
mod interim;

use std::{
    io::{Read, Write},
    sync::{Mutex, mpsc},
};

use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::proxy;
use crate::examples::{
    exchange::{connect, get, read, send},
    raw_origin::RawOrigin,
};
use interim::{Interim, Turn};

const EARLY: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: x-own\r\nX-Own: 1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn early_hints_arrive_before_the_final_response() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let origin = RawOrigin::new(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n");
        let _ = stream.write_all(EARLY.as_bytes());
        let _ = held.lock().expect("one at a time").recv();
        let _ = stream.write_all(OK.as_bytes());
    });
    // Dropped before the origin, which waits for it, also if an assertion fails.
    let release = release;
    let proxy = proxy(&origin);
    let mut stream = connect(proxy.address);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");

    let expected =
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
    let mut early = vec![0; expected.len()];
    stream.read_exact(&mut early).expect("interim responses");
    assert_eq!(String::from_utf8_lossy(&early), expected);

    release.send(()).expect("the origin waits");
    let response = read(stream);
    assert_eq!((response.status(), response.body()), (200, "ok"));
}

#[test]
fn http_1_0_clients_get_no_early_hints() {
    let origin = RawOrigin::new(|_, stream| {
        let _ = stream.write_all(EARLY.as_bytes());
        let _ = stream.write_all(OK.as_bytes());
    });
    let response = send(proxy(&origin).address, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!((response.status(), response.body()), (200, "ok"));
}

const PROCESSING: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

fn processing(turn: &Turn) {
    turn.send(StatusCode::PROCESSING, HeaderMap::new());
}

async fn exactly(client: &mut DuplexStream, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    client
        .read_exact(&mut read)
        .await
        .expect("enough is written");
    assert_eq!(
        String::from_utf8_lossy(&read),
        String::from_utf8_lossy(expected)
    );
}

#[tokio::test]
async fn early_hints_wait_for_the_end_of_the_previous_response() {
    let (mut client, server) = duplex(4);
    let (mut connection, turns) = Interim::new(server);
    assert_eq!(connection.write(b"response").await.expect("room"), 4);
    processing(&turns.next());

    exactly(&mut client, b"resp").await;
    let (written, ()) = tokio::join!(connection.write_all(b"onse"), exactly(&mut client, b"onse"));
    written.expect("it is read");
    let (flushed, ()) = tokio::join!(connection.flush(), exactly(&mut client, PROCESSING));
    flushed.expect("it is written");
}

#[tokio::test]
async fn early_hints_are_never_sent_after_the_final_response() {
    let (mut client, server) = duplex(1024);
    let (mut connection, turns) = Interim::new(server);
    connection.flush().await.expect("nothing to write");

    let turn = turns.next();
    processing(&turn);
    turn.end();
    processing(&turn);
    connection.write_all(b"first").await.expect("room");
    exactly(&mut client, PROCESSING).await;
    exactly(&mut client, b"first").await;

    // The first response has not been flushed: the second may already be queued behind it.
    let turn = turns.next();
    processing(&turn);
    turn.end();
    connection.write_all(b"second").await.expect("room");
    connection.flush().await.expect("room");
    drop(connection);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("it was closed");
    assert_eq!(rest, b"second");
}

#[tokio::test]
async fn no_early_hints_are_sent_after_the_response() {
    let (mut client, server) = duplex(1024);
    let (mut connection, turns) = Interim::new(server);
    let first = turns.next();
    let second = turns.next();
    processing(&first);
    first.end();
    processing(&second);
    connection.flush().await.expect("room");
    drop(connection);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.expect("it was closed");
    assert_eq!(all, PROCESSING);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let body = "x".repeat(100_000);
    let whole = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let origin = RawOrigin::new(move |_, stream| {
        let _ = stream.write_all(EARLY.as_bytes());
        let _ = stream.write_all(whole.as_bytes());
    });
    let proxy = proxy(&origin);
    let requests = 40;
    let mut pipeline = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(requests - 1);
    pipeline.push_str("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let responses = send(proxy.address, &pipeline).text;

    let (mut finals, mut rest) = (0, responses.as_str());
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        if head.starts_with("HTTP/1.1 103 Early Hints\r\n") {
            rest = after;
            continue;
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head:.200}");
        let (found, after) = after.split_at(body.len());
        assert!(found == body, "an interim response within a body");
        (finals, rest) = (finals + 1, after);
    }
    assert_eq!((finals, rest), (requests, ""));
}

#[test]
fn an_origin_that_sends_only_early_hints_is_a_bad_gateway() {
    let origin = RawOrigin::responding(EARLY);
    let response = get(proxy(&origin).address, "/");
    assert!(
        response.text.contains("HTTP/1.1 502 Bad Gateway\r\n"),
        "{}",
        response.text
    );
}

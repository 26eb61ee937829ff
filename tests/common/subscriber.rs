//! A program that listens to a pub/sub channel of Redis.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::RedisServer;

/// Subscribes to a channel, and returns the lines that Redis sends from then on. A line that does not
/// arrive within ten seconds fails the test.
pub(crate) fn subscribe(server: &RedisServer, channel: &str) -> impl Iterator<Item = String> {
    let mut subscriber = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
    let patience = Some(Duration::from_secs(10));
    subscriber.set_read_timeout(patience).expect("a timeout");
    let command = format!("SUBSCRIBE {channel}\r\n");
    subscriber.write_all(command.as_bytes()).expect("sent");
    let mut lines = BufReader::new(subscriber)
        .lines()
        .map(|line| line.expect("a line"));
    assert!(lines.any(|line| line == ":1"), "subscribed");
    lines
}

//! HTTP/1.1 as plain bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Everything that arrived on a connection until it was closed.
#[derive(Clone, Debug)]
pub(crate) struct RawResponse {
    /// The raw bytes.
    pub(crate) text: String,
}

impl RawResponse {
    pub(crate) fn status(&self) -> u16 {
        let code = self
            .text
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {:?}", self.text))
    }

    /// The values of a field, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        fields(self.head(), name)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn head(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or(&self.text, |(head, _)| head)
    }

    pub(crate) fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body())
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }
}

/// The values of a field in the head of a message, in order.
pub(crate) fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

/// A connection with a read timeout.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out is not zero");
    stream
}

/// Sends bytes, and reads until the connection is closed.
pub(crate) fn send(address: SocketAddr, bytes: &str) -> RawResponse {
    let mut stream = connect(address);
    stream.write_all(bytes.as_bytes()).expect("it reads");
    read(stream)
}

/// Reads until the connection is closed, cleanly or not.
pub(crate) fn read(mut stream: TcpStream) -> RawResponse {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    RawResponse {
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// A request without a body, on a connection of its own. `fields` are whole lines.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, fields: &str) -> RawResponse {
    send(
        address,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\n\r\n"
        ),
    )
}

pub(crate) fn get(address: SocketAddr, path: &str) -> RawResponse {
    request(address, "GET", path, "")
}

/// A request with a body of known length.
pub(crate) fn with_body(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &str,
    body: &str,
) -> RawResponse {
    let length = body.len();
    send(
        address,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ),
    )
}

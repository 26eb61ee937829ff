//! A minimal HTTP client: one request per connection.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[derive(Debug)]
pub(crate) struct HttpResponse {
    head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn is_success(&self) -> bool {
        self.head.starts_with("HTTP/1.1 200 ")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.lines_of(name).next()
    }

    /// The values of all lines of a field.
    pub(crate) fn lines_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// How many of its own invalidations the process had not delivered when it responded.
    pub(crate) fn undelivered(&self) -> Option<u64> {
        self.field("x-undelivered")?.parse().ok()
    }
}

/// `None` without a complete response in time: the process may be stopped or dead.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str) -> Option<HttpResponse> {
    ask_within(PATIENCE, address, method, path).await
}

pub(crate) async fn ask_within(
    patience: Duration,
    address: SocketAddr,
    method: &str,
    path: &str,
) -> Option<HttpResponse> {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: keep\r\nconnection: close\r\n\r\n");
    timeout(patience, exchange(address, &request))
        .await
        .ok()?
        .ok()
}

/// Sends a request with content. Each line of `fields` ends with CRLF.
pub(crate) async fn send(
    patience: Duration,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &str,
    body: &str,
) -> Option<HttpResponse> {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: keep\r\nconnection: close\r\n{fields}content-length: {length}\r\n\r\n{body}"
    );
    timeout(patience, exchange(address, &request))
        .await
        .ok()?
        .ok()
}

/// Requests only stored responses.
pub(crate) async fn ask_stored(address: SocketAddr, path: &str) -> Option<HttpResponse> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: keep\r\ncache-control: only-if-cached\r\nconnection: close\r\n\r\n"
    );
    timeout(PATIENCE, exchange(address, &request))
        .await
        .ok()?
        .ok()
}

async fn exchange(address: SocketAddr, request: &str) -> io::Result<HttpResponse> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut response = HttpResponse {
        head: head.to_owned(),
        body: body.to_owned(),
    };
    if response.field("transfer-encoding").is_some() {
        response.body = unchunked(body).ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    let length: Option<usize> = response
        .field("content-length")
        .and_then(|length| length.parse().ok());
    match length {
        Some(length) if response.body.len() != length => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(response),
    }
}

fn unchunked(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(after.get(..size)?);
        rest = after.get(size + 2..)?;
    }
}

/// Longer than any process is stopped.
const PATIENCE: Duration = Duration::from_secs(15);

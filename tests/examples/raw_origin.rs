//! An origin that responds with any bytes, valid or not.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Answers one request per connection and closes it; responses before the last should have a
/// `Connection: close` field. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct RawOrigin {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RawOrigin {
    /// Answers every request with the same bytes.
    pub(crate) fn responding(bytes: &'static str) -> Self {
        Self::new(move |_, stream| {
            let _ = stream.write_all(bytes.as_bytes());
        })
    }

    /// Answers each request with a function of its bytes.
    pub(crate) fn new(respond: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (received, stopped) = (Arc::clone(&received), Arc::clone(&stopped));
            move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let request = message(&stream);
                    received
                        .lock()
                        .expect("no test panics with it")
                        .push(request.clone());
                    respond(&request, &mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        });
        Self {
            address,
            received,
            stopped,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, heads and bodies.
    pub(crate) fn received(&self) -> Vec<String> {
        self.received
            .lock()
            .expect("no test panics with it")
            .clone()
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request: its head, and its body with its framing.
fn message(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut message = lines_until_empty(&mut reader);
    let head = message.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        loop {
            let size = line(&mut reader);
            message.push_str(&size);
            if size.starts_with("0\r\n") || size.is_empty() {
                message.push_str(&lines_until_empty(&mut reader));
                break;
            }
            message.push_str(&line(&mut reader));
        }
    } else if let Some((_, rest)) = head.split_once("\r\ncontent-length: ") {
        let length = rest
            .split("\r\n")
            .next()
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        let _ = reader.read_exact(&mut body);
        message.push_str(&String::from_utf8_lossy(&body));
    }
    message
}

fn lines_until_empty(reader: &mut impl BufRead) -> String {
    let mut lines = String::new();
    loop {
        let next = line(reader);
        lines.push_str(&next);
        if next == "\r\n" || next.is_empty() {
            return lines;
        }
    }
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    line
}

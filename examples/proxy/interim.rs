//! Forwards interim responses (1xx) as they arrive (RFC 9110, 15.2).
//!
//! hyper's server sends final responses only. [`Interim`] wraps the socket that hyper writes to, and
//! writes interim responses between two responses, never within one. HTTP/1.1 answers the requests
//! of a connection in order, so interim responses are sent for at most one request at a time; its
//! [`Turn`] is the permission to do so.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fields::remove_hop_by_hop;

/// How many bytes of interim responses are queued for a slow client; more are dropped.
const MAX_QUEUED: usize = 64 * 1024;

/// A connection to which interim responses are written in addition to what hyper writes.
#[derive(Debug)]
pub(crate) struct Interim<I> {
    io: I,
    line: Arc<Mutex<Line>>,
}

/// The current turn, and the interim responses that are queued.
#[derive(Debug, Default)]
struct Line {
    turn: u64,
    open: bool,
    /// Whether all bytes from hyper have been written.
    between: bool,
    queued: BytesMut,
    connection: Option<Waker>,
}

/// One request's right to send interim responses, until its final one.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    line: Arc<Mutex<Line>>,
    number: u64,
}

/// Starts the turns of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Mutex<Line>>);

impl<I> Interim<I> {
    pub(crate) fn new(io: I) -> (Self, Turns) {
        let line = Arc::default();
        let turns = Turns(Arc::clone(&line));
        (Self { io, line }, turns)
    }
}

impl Turns {
    /// The turn of the request that was just read.
    pub(crate) fn next(&self) -> Turn {
        let mut line = lock(&self.0);
        line.turn += 1;
        line.open = true;
        Turn {
            line: Arc::clone(&self.0),
            number: line.turn,
        }
    }
}

impl Turn {
    /// Sends an interim response, unless the final one has been sent. Interim responses are optional, so one that does
    /// not fit the queue is dropped.
    pub(crate) fn send(&self, status: StatusCode, mut fields: HeaderMap) {
        // hyper itself sends `100 Continue`.
        if status == StatusCode::CONTINUE {
            return;
        }
        remove_hop_by_hop(&mut fields);
        let mut line = lock(&self.line);
        if line.open && line.turn == self.number && line.queued.len() < MAX_QUEUED {
            write_head(&mut line.queued, status, &fields);
            if let Some(connection) = line.connection.take() {
                connection.wake();
            }
        }
    }

    /// Ends the turn: the final response follows. Queued interim responses are sent before it or dropped.
    pub(crate) fn end(&self) {
        let mut line = lock(&self.line);
        if line.turn == self.number {
            line.open = false;
            if !line.between {
                line.queued.clear();
            }
        }
    }
}

fn write_head(out: &mut BytesMut, status: StatusCode, fields: &HeaderMap) {
    let reason = status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the queued bytes.
fn drain<I: AsyncWrite + Unpin>(
    io: &mut I,
    line: &mut Line,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !line.queued.is_empty() {
        match ready!(Pin::new(&mut *io).poll_write(cx, &line.queued))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => line.queued.advance(written),
        }
    }
    Poll::Ready(Ok(()))
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Interim<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.before_write(cx))?;
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.before_write(cx))?;
        Pin::new(&mut this.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes the connection only when its own buffer is empty.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut line = lock(&this.line);
        line.between = true;
        line.connection = Some(cx.waker().clone());
        ready!(drain(&mut this.io, &mut line, cx))?;
        drop(line);
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl<I: AsyncWrite + Unpin> Interim<I> {
    /// Writes the queued bytes before those of hyper, unless hyper is in the middle of a response.
    fn before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.line);
        if line.between {
            ready!(drain(&mut self.io, &mut line, cx))?;
            line.between = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Interim<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

//! Interim responses (1xx), passed on as they come (RFC 9110, 15.2).
//!
//! hyper's server sends final responses only. [`Interim`] stands between it and the socket, and
//! writes what the origin sends before its final response where that may stand: between two
//! responses, never within one. HTTP/1.1 answers a connection's requests one after the other, so
//! there is at most one request whose interim responses may come; [`Turn`] is that request.

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

/// The most bytes of interim responses that wait for a slow client; more are dropped.
const MOST: usize = 64 * 1024;

/// A connection that interim responses can be written to beside what hyper writes.
#[derive(Debug)]
pub(crate) struct Interim<I> {
    io: I,
    line: Arc<Mutex<Line>>,
}

/// Who may send interim responses, and what of them is yet to be written.
#[derive(Debug, Default)]
struct Line {
    turn: u64,
    open: bool,
    /// Whether all that hyper gave to be written is written.
    between: bool,
    waiting: BytesMut,
    connection: Option<Waker>,
}

/// One request's right to send interim responses, until its final one.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    line: Arc<Mutex<Line>>,
    number: u64,
}

/// Begins the turns of one connection.
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
    /// The turn of the request that has just been read.
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
    /// Sends an interim response, if its final one has not come yet. It is a courtesy: what cannot
    /// be sent is dropped.
    pub(crate) fn send(&self, status: StatusCode, mut fields: HeaderMap) {
        // hyper itself says `100 Continue`.
        if status == StatusCode::CONTINUE {
            return;
        }
        remove_hop_by_hop(&mut fields);
        let mut line = lock(&self.line);
        if line.open && line.turn == self.number && line.waiting.len() < MOST {
            write_head(&mut line.waiting, status, &fields);
            if let Some(connection) = line.connection.take() {
                connection.wake();
            }
        }
    }

    /// The final response is there. What still waits goes before it, or not at all.
    pub(crate) fn end(&self) {
        let mut line = lock(&self.line);
        if line.turn == self.number {
            line.open = false;
            if !line.between {
                line.waiting.clear();
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

/// Writes what waits.
fn drain<I: AsyncWrite + Unpin>(
    io: &mut I,
    line: &mut Line,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !line.waiting.is_empty() {
        match ready!(Pin::new(&mut *io).poll_write(cx, &line.waiting))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => line.waiting.advance(written),
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

    /// hyper flushes the connection only once its own buffer is empty.
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
    /// hyper has something to write: what waits goes first, unless hyper is in the middle.
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

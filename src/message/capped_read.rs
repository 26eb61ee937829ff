//! Reading a body up to a limit.

use std::{collections::VecDeque, mem, pin::Pin};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::task::yield_now;

use super::{buffer_budget::BufferPermit, shared_buffer::max_chunks};

/// A read of a body up to a limit. The bytes survive failure and cancellation, so they can be put back
/// in front of the rest.
#[derive(Debug)]
pub(crate) struct CappedRead {
    cap: usize,
    length: usize,
    /// The data before `chunks`, if data is copied.
    copy: Option<BytesMut>,
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// Grows with the data that is kept, up to `cap`.
    permit: BufferPermit,
    lacks_room: bool,
}

impl CappedRead {
    /// Keeps the chunks of a body without copying them: up to `cap` bytes, in up to [`max_chunks`]
    /// pieces.
    pub(crate) fn sharing(cap: usize) -> Self {
        Self {
            cap,
            length: 0,
            copy: None,
            chunks: VecDeque::new(),
            trailers: None,
            permit: BufferPermit::default(),
            lacks_room: false,
        }
    }

    /// Copies up to `cap` bytes into one buffer: a chunk from an untrusted peer may be a few bytes
    /// that keep a large read buffer alive. The chunk that exceeds the limit is not copied.
    pub(crate) fn copying(cap: usize) -> Self {
        Self {
            copy: Some(BytesMut::new()),
            ..Self::sharing(cap)
        }
    }

    /// Counts the data by `permit`, and stops as soon as it cannot grow.
    pub(crate) fn counted_by(self, permit: BufferPermit) -> Self {
        Self { permit, ..self }
    }

    /// Reads to the end of `body`, trailers included. Returns `false` as soon as the data exceeds the
    /// limit, or what the permit allows.
    ///
    /// # Cancel safety
    ///
    /// The data that was read before the future is dropped is kept.
    pub(crate) async fn read_to_end<B>(&mut self, mut body: Pin<&mut B>) -> Result<bool, B::Error>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            // Not `while let`: an error that is not `Send` would be held across an await.
            let frame = match body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(error),
                None => return Ok(true),
            };
            match frame.into_data() {
                // Yields, since an endless sequence of empty chunks would never reach the limit.
                Ok(chunk) if chunk.is_empty() => yield_now().await,
                Ok(chunk) => self.push(chunk),
                Err(frame) => {
                    // Nothing follows trailers.
                    self.trailers = frame.into_trailers().ok();
                    return Ok(true);
                }
            }
            if self.length > self.cap || self.chunks.len() > max_chunks(self.cap) {
                return Ok(false);
            }
            if !self.permit.try_grow_to(self.length) {
                self.lacks_room = true;
                return Ok(false);
            }
        }
    }

    pub(crate) fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// Whether the read ended because the permit could not grow.
    pub(crate) fn lacks_room(&self) -> bool {
        self.lacks_room
    }

    /// The permit for the data that was read, to be kept for as long as the data.
    pub(crate) fn take_permit(&mut self) -> BufferPermit {
        mem::take(&mut self.permit)
    }

    /// The data that was read, in one piece.
    pub(crate) fn into_content(self) -> Bytes {
        let mut content = self.copy.unwrap_or_default();
        for chunk in self.chunks {
            content.extend_from_slice(&chunk);
        }
        content.freeze()
    }

    /// The data that was read, in order, and the trailers.
    pub(crate) fn into_parts(self) -> (VecDeque<Bytes>, Option<HeaderMap>) {
        let copy = self.copy.map(BytesMut::freeze).into_iter();
        let chunks = copy.filter(|copy| !copy.is_empty()).chain(self.chunks);
        (chunks.collect(), self.trailers)
    }

    /// The frames that were read, to be put in front of the rest of the body.
    pub(crate) fn into_frames(self) -> VecDeque<Frame<Bytes>> {
        let (chunks, trailers) = self.into_parts();
        let chunks = chunks.into_iter().map(Frame::data);
        chunks.chain(trailers.map(Frame::trailers)).collect()
    }

    fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len();
        match &mut self.copy {
            Some(copy) if self.length <= self.cap => copy.extend_from_slice(&chunk),
            _ => self.chunks.push_back(chunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;
    use crate::error::BoxError;

    type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

    fn data(chunks: &[&'static str]) -> Frames {
        let frame = |chunk: &&'static str| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())));
        chunks.iter().map(frame).collect()
    }

    async fn read(mut read: CappedRead, frames: Frames) -> (Result<bool, BoxError>, CappedRead) {
        let mut body = Box::pin(StreamBody::new(stream::iter(frames)));
        let end = read.read_to_end(body.as_mut()).await;
        (end, read)
    }

    fn both(cap: usize) -> [CappedRead; 2] {
        [CappedRead::sharing(cap), CappedRead::copying(cap)]
    }

    #[tokio::test]
    async fn a_body_as_long_as_the_limit_is_read() {
        for capped in both(6) {
            let (end, capped) = read(capped, data(&["one", "", "two"])).await;
            assert!(end.expect("no error"));
            assert!(!capped.has_trailers());
            assert_eq!(capped.into_content(), "onetwo");
        }
    }

    #[tokio::test]
    async fn a_longer_body_is_read_in_part() {
        for capped in both(5) {
            let (end, capped) = read(capped, data(&["one", "two", "three"])).await;
            assert!(!end.expect("no error"));
            let frames = capped.into_frames().into_iter();
            let read: Vec<_> = frames.filter_map(|frame| frame.into_data().ok()).collect();
            assert_eq!(read.concat(), b"onetwo");
        }
    }

    #[tokio::test]
    async fn the_chunk_that_exceeds_the_limit_is_not_copied() {
        let long = Bytes::from(vec![b'x'; 1000]);
        let mut frames = data(&["on", "e"]);
        frames.push(Ok(Frame::data(long.clone())));
        let (end, capped) = read(CappedRead::copying(5), frames).await;
        assert!(!end.expect("no error"));
        let (chunks, _) = capped.into_parts();
        assert_eq!(chunks, ["one".into(), long.clone()]);
        assert_eq!(chunks[1].as_ptr(), long.as_ptr());
    }

    #[tokio::test]
    async fn trailers_follow_the_data() {
        for capped in both(5) {
            let mut frames = data(&["one"]);
            frames.push(Ok(Frame::trailers(HeaderMap::new())));
            let (end, capped) = read(capped, frames).await;
            assert!(end.expect("no error"));
            assert!(capped.has_trailers());
            let frames = capped.into_frames();
            assert!(frames.len() == 2 && frames[0].is_data() && frames[1].is_trailers());
        }
    }

    #[tokio::test]
    async fn data_read_before_an_error_is_kept() {
        for capped in both(5) {
            let mut frames = data(&["one"]);
            frames.push(Err(io::Error::other("reset").into()));
            let (end, capped) = read(capped, frames).await;
            assert!(end.is_err());
            assert_eq!(capped.into_content(), "one");
        }
    }

    #[tokio::test]
    async fn too_many_chunks_are_too_long_unless_they_are_copied() {
        let [sharing, copying] = both(100_000);
        let frames = || data(&vec!["1"; max_chunks(100_000) + 1]);
        assert!(!read(sharing, frames()).await.0.expect("no error"));
        assert!(read(copying, frames()).await.0.expect("no error"));
    }
}

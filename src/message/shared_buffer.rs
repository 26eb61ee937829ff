//! A body buffer with one writer and any number of readers, which read it while it grows.
//!
//! Up to the cap every chunk is kept, so a reader may start late and read slowly. A body beyond the
//! cap will not be stored, and admits no further readers. The writer then waits for the first reader and
//! drops the chunks it has read; a reader that still needs a dropped chunk fails. Once the first reader
//! has held up others for [`MAX_HOLD_UP`] in total, the writer waits for the fastest one instead.
//!
//! The chunks count towards a budget for as long as the buffer has a reader or a writer. A body for
//! which the budget has no room is treated like one beyond the cap, but none of it is kept for slower
//! readers. Therefore a second reader is admitted only if the budget has room for all of the body that
//! may be kept.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep},
};

use super::buffer_budget::BufferPermit;
use crate::error::{BoxError, ignore_poison};

/// How long the first reader of a body that is not kept may hold up others, over the whole body: its
/// client may never read, or read too little at a time on purpose.
const MAX_HOLD_UP: Duration = Duration::from_secs(5);

/// The writing half. If it is dropped without [`BodyWriter::finish`], every reader fails, so that a
/// partial body is never taken for a complete one.
#[derive(Debug)]
pub(crate) struct BodyWriter {
    shared: Arc<SharedBuffer>,
}

/// A reading half. A dropped reader does not block the writer or other readers.
#[derive(Debug)]
pub(crate) struct BodyReader {
    shared: Arc<SharedBuffer>,
    id: u64,
}

/// Creates readers, each from the first byte.
#[derive(Clone, Debug)]
pub(crate) struct SharedBody {
    shared: Arc<SharedBuffer>,
}

/// How a body ended: with its trailers, if any, or with an error.
#[derive(Clone, Debug)]
pub(crate) enum BodyEnd {
    Complete(Option<HeaderMap>),
    Failed(String),
}

/// Why a buffer does not keep the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The body is larger than the cap.
    TooLarge,
    /// The budget has no room for it.
    NoRoom,
}

/// Why a buffer does not admit a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderRefusal {
    /// The first byte has been dropped, or the body is too large for the reader to be independent of
    /// the others.
    Late,
    /// The budget has no room for a body that several readers share.
    NoRoom,
}

/// The maximum number of chunks held of a body of at most `cap` bytes, so that the handles of the
/// chunks take no more memory than `cap`.
pub(crate) fn max_chunks(cap: usize) -> usize {
    (cap / size_of::<Bytes>()).max(1024)
}

#[derive(Debug)]
struct SharedBuffer {
    cap: usize,
    length: Option<u64>,
    state: Mutex<BufferState>,
}

#[derive(Debug)]
struct BufferState {
    chunks: VecDeque<Bytes>,
    /// Index of `chunks[0]` in the whole body.
    base: usize,
    /// Bytes in `chunks`.
    held: usize,
    /// At least as large as `held`, unless the budget has no room.
    permit: BufferPermit,
    overflow: Option<Overflow>,
    end: Option<BodyEnd>,
    /// By id, the oldest first.
    readers: BTreeMap<u64, Progress>,
    next_id: u64,
    writer: Option<Waker>,
    /// How much longer the first reader may hold up others.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Progress {
    /// Index of the next chunk to read.
    next: usize,
    trailers_read: bool,
    waker: Option<Waker>,
}

/// Makes a buffer that keeps up to `cap` bytes, counted by `permit`; `length` is the value of
/// `Content-Length`.
pub(crate) fn channel(
    cap: usize,
    length: Option<u64>,
    permit: BufferPermit,
) -> (BodyWriter, SharedBody) {
    let state = BufferState {
        chunks: VecDeque::new(),
        base: 0,
        held: 0,
        permit,
        overflow: None,
        end: None,
        readers: BTreeMap::new(),
        next_id: 0,
        writer: None,
        patience: MAX_HOLD_UP,
    };
    let shared = Arc::new(SharedBuffer {
        cap,
        length,
        state: Mutex::new(state),
    });
    let source = SharedBody {
        shared: Arc::clone(&shared),
    };
    (BodyWriter { shared }, source)
}

impl SharedBuffer {
    fn lock(&self) -> MutexGuard<'_, BufferState> {
        #[cfg(test)]
        crate::schedule::switch_point();
        ignore_poison(self.state.lock())
    }

    /// The most bytes that the buffer may have to keep for its readers.
    fn max_held(&self) -> usize {
        let length = self.length.and_then(|length| usize::try_from(length).ok());
        length.map_or(self.cap, |length| length.min(self.cap))
    }
}

impl BufferState {
    fn wake_readers(&mut self) {
        let wakers = (self.readers.values_mut()).filter_map(|reader| reader.waker.take());
        wakers.for_each(Waker::wake);
    }

    /// The index of the next chunk of the reader that the writer waits for: of the first one, which
    /// belongs to the request that fetched the body, or after it the next oldest one; without patience,
    /// of the fastest one.
    fn pace(&self) -> Option<usize> {
        let mut positions = self.readers.values().map(|reader| reader.next);
        match self.patience.is_zero() {
            true => positions.max(),
            false => positions.next(),
        }
    }

    /// Whether a reader has read all chunks so far.
    fn has_waiting_reader(&self) -> bool {
        let length = self.length();
        self.readers.values().any(|reader| reader.next >= length)
    }

    /// The number of chunks of the whole body so far.
    fn length(&self) -> usize {
        self.base + self.chunks.len()
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn exceeds(&self, cap: usize) -> bool {
        self.held > cap || self.chunks.len() > max_chunks(cap)
    }

    /// Notes an overflow. From then on, what the first reader has read is dropped.
    fn limit(&mut self, cap: usize) {
        if self.overflow.is_none() && self.exceeds(cap) {
            self.overflow = Some(Overflow::TooLarge);
        }
        if self.overflow == Some(Overflow::TooLarge) {
            self.shrink(cap);
        }
        if !self.permit.try_grow_to(self.held) {
            self.overflow.get_or_insert(Overflow::NoRoom);
        }
        if self.lacks_room() {
            self.shrink(0);
            self.permit.shrink_to(self.held);
        }
    }

    fn lacks_room(&self) -> bool {
        self.overflow == Some(Overflow::NoRoom)
    }

    fn shrink(&mut self, cap: usize) {
        let read = self.pace().unwrap_or(usize::MAX);
        while self.exceeds(cap) && self.base < read {
            let Some(chunk) = self.chunks.pop_front() else {
                break;
            };
            self.held -= chunk.len();
            self.base += 1;
        }
    }
}

/// The time since the first reader holds up another one, and until it may no longer.
struct HoldUp {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl HoldUp {
    fn new(longest: Duration) -> Self {
        Self {
            since: Instant::now(),
            end: Box::pin(sleep(longest)),
        }
    }
}

impl BodyWriter {
    /// Adds a chunk. Returns why the buffer no longer keeps the whole body, if it does not.
    pub(crate) fn push(&self, chunk: Bytes) -> Option<Overflow> {
        let mut state = self.shared.lock();
        // Dropped: an endless sequence of empty chunks would never reach the cap.
        if !chunk.is_empty() {
            state.held += chunk.len();
            state.chunks.push_back(chunk);
            state.limit(self.shared.cap);
            state.wake_readers();
        }
        state.overflow
    }

    /// Keeps the body no longer, to make room for others: what the reader has read is dropped, and the
    /// rest is read no faster than the reader takes it.
    ///
    /// Returns `false`, and goes on to keep the body, if it takes no room, or has several readers: the
    /// slower ones need what the first one has read.
    pub(crate) fn stop_keeping(&self) -> bool {
        let mut state = self.shared.lock();
        let stops = state.permit.takes_room() && state.readers.len() <= 1;
        if stops {
            state.overflow.get_or_insert(Overflow::NoRoom);
            state.limit(self.shared.cap);
        }
        stops
    }

    /// Waits until another chunk may be pushed: not at all while the whole body is kept; after that,
    /// until the first reader has read all chunks, or has held up another one for too long.
    ///
    /// Returns `false` if the body is not kept and has no readers left.
    pub(crate) async fn ready(&self) -> bool {
        let mut hold_up = None;
        let is_ready = poll_fn(|cx| self.poll_ready(&mut hold_up, cx)).await;
        if let Some(hold_up) = hold_up {
            let mut state = self.shared.lock();
            state.patience = state.patience.saturating_sub(hold_up.since.elapsed());
        }
        is_ready
    }

    fn poll_ready(&self, hold_up: &mut Option<HoldUp>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        loop {
            match state.pace() {
                _ if state.overflow.is_none() => return Poll::Ready(true),
                None => return Poll::Ready(false),
                Some(read) if read >= state.length() => return Poll::Ready(true),
                Some(_) => state.writer = Some(cx.waker().clone()),
            }
            // Outside of a runtime, no timer runs.
            if !state.has_waiting_reader() || Handle::try_current().is_err() {
                return Poll::Pending;
            }
            let hold_up = hold_up.get_or_insert_with(|| HoldUp::new(state.patience));
            ready!(hold_up.end.as_mut().poll(cx));
            state.patience = Duration::ZERO;
        }
    }

    /// Waits until there are no readers.
    pub(crate) async fn wait_until_abandoned(&self) {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if state.readers.is_empty() {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.shared.lock().readers.is_empty()
    }

    /// The chunks of the body so far; `None` if some have been dropped.
    pub(crate) fn whole(&self) -> Option<VecDeque<Bytes>> {
        let state = self.shared.lock();
        (state.overflow.is_none()).then(|| state.chunks.clone())
    }

    /// Ends the body for all readers.
    pub(crate) fn finish(self, end: BodyEnd) {
        let mut state = self.shared.lock();
        state.end = Some(end);
        let held = state.held;
        state.permit.shrink_to(held);
        state.wake_readers();
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.end.is_none() {
            state.end = Some(BodyEnd::Failed(
                "the response was not read to its end".into(),
            ));
            state.wake_readers();
        }
    }
}

impl SharedBody {
    /// Creates a reader from the first byte.
    ///
    /// # Errors
    ///
    /// If that byte has been dropped or the body is too large to be kept, or if there is a reader
    /// already, and the budget has no room for what has to be kept for both.
    pub(crate) fn reader(&self) -> Result<BodyReader, ReaderRefusal> {
        let mut state = self.shared.lock();
        let is_too_large = state.overflow == Some(Overflow::TooLarge) && state.end.is_none();
        if state.base > 0 || is_too_large {
            return Err(ReaderRefusal::Late);
        }
        let is_growing = state.end.is_none() && !state.readers.is_empty();
        let max_held = self.shared.max_held();
        if is_growing && (state.lacks_room() || !state.permit.try_grow_to(max_held)) {
            return Err(ReaderRefusal::NoRoom);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.readers.insert(id, Progress::default());
        Ok(BodyReader {
            shared: Arc::clone(&self.shared),
            id,
        })
    }
}

impl BodyReader {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let end = state.length();
        let Some(progress) = state.readers.get_mut(&self.id) else {
            return Poll::Ready(None);
        };
        if progress.next < state.base {
            return Poll::Ready(Some(Err(
                "the client reads too slowly for a response that is too large to buffer".into(),
            )));
        }
        if progress.next < end {
            let chunk = state.chunks[progress.next - state.base].clone();
            progress.next += 1;
            if state.overflow.is_some() {
                state.wake_writer();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &state.end {
            None => {
                progress.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(BodyEnd::Failed(why)) => Poll::Ready(Some(Err(why.clone().into()))),
            Some(BodyEnd::Complete(trailers)) if !progress.trailers_read => {
                progress.trailers_read = true;
                Poll::Ready(trailers.clone().map(|t| Ok(Frame::trailers(t))))
            }
            Some(BodyEnd::Complete(_)) => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        let Some(progress) = state.readers.get(&self.id) else {
            return true;
        };
        progress.next >= state.length()
            && match &state.end {
                Some(BodyEnd::Complete(trailers)) => trailers.is_none() || progress.trailers_read,
                _ => false,
            }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        let is_unread = (state.readers.get(&self.id)).is_none_or(|progress| progress.next == 0);
        let length = self.shared.length.filter(|_| is_unread);
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.readers.remove(&self.id);
        state.wake_writer();
    }
}

#[cfg(test)]
mod schedule_tests;

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::FutureExt;

    use super::*;
    use crate::message::buffer_budget::{BufferBudget, UNCOUNTED};

    async fn next(reader: &mut BodyReader) -> Option<Result<Frame<Bytes>, BoxError>> {
        poll_fn(|cx| reader.poll_frame(cx)).await
    }

    async fn data(reader: &mut BodyReader) -> Bytes {
        let frame = next(reader).await.expect("a frame").expect("no error");
        frame.into_data().expect("data")
    }

    #[tokio::test]
    async fn a_late_reader_gets_the_whole_body() {
        let (writer, source) = channel(1024, None, BufferPermit::default());
        let mut early = source.reader().expect("first");
        assert_eq!(writer.push(Bytes::from_static(b"one")), None);
        assert_eq!(data(&mut early).await, "one");
        let mut late = source.reader().expect("second");
        assert_eq!(writer.push(Bytes::from_static(b"two")), None);
        assert_eq!(writer.whole().expect("held").len(), 2);
        writer.finish(BodyEnd::Complete(None));
        assert_eq!(data(&mut late).await, "one");
        assert_eq!(data(&mut late).await, "two");
        assert!(next(&mut late).await.is_none());
        assert!(late.is_end_stream());
    }

    #[tokio::test]
    async fn beyond_the_cap_the_writer_waits_for_the_first_reader_and_a_slower_one_fails() {
        let (writer, source) = channel(4, None, BufferPermit::default());
        let mut first = source.reader().expect("first");
        let mut behind = source.reader().expect("behind");
        assert_eq!(writer.push(Bytes::from_static(b"aaaa")), None);
        assert_eq!(
            writer.push(Bytes::from_static(b"bbbb")),
            Some(Overflow::TooLarge)
        );
        {
            let wait = writer.ready();
            tokio::pin!(wait);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(wait.as_mut().poll(&mut cx).is_pending());
            data(&mut first).await;
            data(&mut first).await;
            assert!(wait.await);
        }
        assert_eq!(
            writer.push(Bytes::from_static(b"cccc")),
            Some(Overflow::TooLarge)
        );
        assert!(next(&mut behind).await.expect("an item").is_err());
        assert_eq!(
            source.reader().expect_err("the first byte is gone"),
            ReaderRefusal::Late
        );
        assert!(writer.whole().is_none());
        writer.finish(BodyEnd::Complete(None));
        assert_eq!(data(&mut first).await, "cccc");
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_cap_a_first_reader_that_stops_holds_up_others_for_a_limited_time_in_total()
    {
        let (writer, source) = channel(4, None, BufferPermit::default());
        let mut first = source.reader().expect("first");
        let mut other = source.reader().expect("another");
        let start = Instant::now();
        for at in 0..10 {
            assert!(writer.ready().await);
            writer.push(Bytes::from_static(b"aaa"));
            assert_eq!(data(&mut other).await, "aaa", "chunk {at}");
            if at < 3 {
                tokio::time::advance(Duration::from_secs(1)).await;
                data(&mut first).await;
            }
        }
        assert_eq!(start.elapsed(), Duration::from_secs(3) + MAX_HOLD_UP);
        assert!(next(&mut first).await.expect("an item").is_err());
        // A reader alone has as much time as it wants.
        drop(first);
        let (writer, source) = channel(4, None, BufferPermit::default());
        let _alone = source.reader().expect("first");
        writer.push(Bytes::from_static(b"aaaaa"));
        let waited = tokio::time::timeout(100 * MAX_HOLD_UP, writer.ready()).await;
        assert!(waited.is_err());
    }

    #[tokio::test]
    async fn a_body_beyond_the_cap_admits_no_further_reader() {
        let (writer, source) = channel(4, None, BufferPermit::default());
        let _first = source.reader().expect("first");
        writer.push(Bytes::from_static(b"aaaaa"));
        assert_eq!(source.reader().expect_err("late"), ReaderRefusal::Late);
    }

    #[tokio::test]
    async fn a_body_beyond_the_cap_without_readers_is_given_up() {
        let (writer, source) = channel(1, None, BufferPermit::default());
        let reader = source.reader().expect("reader");
        writer.push(Bytes::from_static(b"aa"));
        drop(reader);
        assert!(!writer.ready().await);
        writer.wait_until_abandoned().await;
    }

    #[tokio::test]
    async fn a_dropped_writer_fails_its_readers() {
        let (writer, source) = channel(16, None, BufferPermit::default());
        let mut reader = source.reader().expect("reader");
        writer.push(Bytes::from_static(b"par"));
        drop(writer);
        assert_eq!(data(&mut reader).await, "par");
        assert!(next(&mut reader).await.expect("an item").is_err());
    }

    #[tokio::test]
    async fn trailers_come_last_and_once() {
        let (writer, source) = channel(16, Some(0), BufferPermit::default());
        let mut reader = source.reader().expect("reader");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        writer.finish(BodyEnd::Complete(Some(trailers)));
        assert!(!reader.is_end_stream());
        let frame = next(&mut reader).await.expect("a frame").expect("no error");
        assert!(frame.is_trailers());
        assert!(next(&mut reader).await.is_none());
    }

    /// A budget with room for as many bytes, and a permit.
    fn budget(room: u64) -> (Arc<BufferBudget>, BufferPermit) {
        let budget = BufferBudget::new(room);
        let permit = budget.permit();
        (budget, permit)
    }

    const LARGE: &[u8] = &[b'x'; UNCOUNTED];

    #[tokio::test]
    async fn without_room_the_writer_waits_for_the_reader_and_nothing_is_kept() {
        let (budget, permit) = budget(3);
        let (writer, source) = channel(1 << 20, None, permit);
        let mut reader = source.reader().expect("the first");
        assert_eq!(writer.push(Bytes::from_static(LARGE)), None);
        assert_eq!(writer.push(Bytes::from_static(b"abc")), None);
        assert!(budget.is_full());
        let none = Some(Overflow::NoRoom);
        assert_eq!(writer.push(Bytes::from_static(b"de")), none);
        assert!(writer.whole().is_none());
        assert!(writer.ready().now_or_never().is_none(), "it waits");
        for chunk in [LARGE, b"abc", b"de"] {
            assert_eq!(data(&mut reader).await, chunk);
        }
        assert!(writer.ready().now_or_never().expect("it was read"));
        assert_eq!(writer.push(Bytes::from_static(b"f")), none);
        assert!(!budget.is_full(), "what was read is dropped");
        assert_eq!(source.reader().expect_err("too late"), ReaderRefusal::Late);
        writer.finish(BodyEnd::Complete(None));
        assert_eq!(data(&mut reader).await, "f");
        assert!(next(&mut reader).await.is_none());
    }

    #[tokio::test]
    async fn a_second_reader_is_admitted_if_all_of_the_body_will_have_room() {
        for (length, room, is_admitted) in [
            (Some(UNCOUNTED as u64 + 10), 10, true),
            (Some(UNCOUNTED as u64 + 10), 9, false),
            (None, (1 << 20) - UNCOUNTED as u64, true),
            (None, (1 << 20) - UNCOUNTED as u64 - 1, false),
        ] {
            let (budget, permit) = budget(room);
            let (writer, source) = channel(1 << 20, length, permit);
            let first = source.reader().expect("the first");
            let second = source.reader();
            assert_eq!(second.is_ok(), is_admitted, "{length:?} {room}");
            assert_eq!(budget.is_full(), is_admitted);
            writer.finish(BodyEnd::Complete(None));
            assert!(!budget.is_full(), "the rest is given back");
            assert!(source.reader().is_ok(), "nothing more will arrive");
            drop((first, second));
        }
    }

    #[tokio::test]
    async fn a_body_counts_until_its_readers_have_gone() {
        let (budget, permit) = budget(1);
        let (writer, source) = channel(1 << 20, None, permit);
        let mut reader = source.reader().expect("the first");
        drop(source);
        assert_eq!(writer.push(Bytes::from_static(LARGE)), None);
        assert_eq!(writer.push(Bytes::from_static(b"x")), None);
        writer.finish(BodyEnd::Complete(None));
        assert!(budget.is_full());
        data(&mut reader).await;
        drop(reader);
        assert!(!budget.is_full());
    }
}

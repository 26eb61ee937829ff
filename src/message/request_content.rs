//! Reading the content of a request that a layer needs before the request can go on.

use std::{collections::VecDeque, fmt, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::timeout;

use super::{
    buffer_budget::BufferPermit, capped_read::CappedRead, replayable_body::ReplayableBody,
    resumed_body::ResumedBody,
};

/// The longest time that a layer waits for the whole content of a request: a client that sends it
/// slowly must not hold memory for as long as it likes.
pub(crate) const CONTENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The content of a request, as far as it could be read.
pub(crate) enum RequestContent<B> {
    Whole(BufferedContent),
    /// It is too long, or has trailers. The body yields all of it, including the part that was read.
    Unsuitable {
        body: B,
        /// The word for `detail` of `Cache-Status`.
        detail: &'static str,
    },
    /// Reading it failed before its end.
    Broken,
    /// It did not arrive in time.
    Late,
    /// The budget has no room for it.
    NoRoom,
}

/// Content in memory, which counts towards a budget until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct BufferedContent {
    pub(crate) bytes: Bytes,
    permit: BufferPermit,
}

impl BufferedContent {
    /// A body that yields the content, which counts until then.
    pub(crate) fn into_body<B: ReplayableBody>(self) -> B {
        let read = VecDeque::from([Frame::data(self.bytes)]);
        let end = Box::pin(B::from_bytes(Bytes::new()));
        B::resume(ResumedBody::new(read, end).with_permit(self.permit))
    }
}

/// Reads the content of a request: up to `max` bytes, as far as `permit` can grow. Content that is
/// known to be longer is not read.
pub(crate) async fn read_content<B: ReplayableBody>(
    body: B,
    max: usize,
    permit: BufferPermit,
) -> RequestContent<B> {
    if body.size_hint().lower() > max as u64 {
        return RequestContent::Unsuitable {
            body,
            detail: TOO_LARGE,
        };
    }
    read_up_to(body, max, CONTENT_TIMEOUT, permit).await
}

/// [`read_content`] that reads up to `max` bytes of longer content, too, and waits for `longest`.
pub(crate) async fn read_up_to<B: ReplayableBody>(
    body: B,
    max: usize,
    longest: Duration,
    permit: BufferPermit,
) -> RequestContent<B> {
    let mut body = Box::pin(body);
    // Copied, so that content in tiny chunks takes no more memory than its bytes.
    let mut read = CappedRead::copying(max).counted_by(permit);
    let end = timeout(longest, read.read_to_end(body.as_mut())).await;
    let detail = match end {
        Err(_) => return RequestContent::Late,
        Ok(Err(_)) => return RequestContent::Broken,
        Ok(Ok(false)) if read.lacks_room() => return RequestContent::NoRoom,
        Ok(Ok(false)) => TOO_LARGE,
        Ok(Ok(true)) if read.has_trailers() => "content-has-trailers",
        Ok(Ok(true)) => {
            return RequestContent::Whole(BufferedContent {
                permit: read.take_permit(),
                bytes: read.into_content(),
            });
        }
    };
    let permit = read.take_permit();
    let body = ResumedBody::new(read.into_frames(), body).with_permit(permit);
    RequestContent::Unsuitable {
        body: B::resume(body),
        detail,
    }
}

/// `detail` of content that is longer than the limit.
pub(crate) const TOO_LARGE: &str = "content-too-large";

impl<B> fmt::Debug for RequestContent<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Unsuitable { detail, .. } => detail,
            Self::Broken => "Broken",
            Self::Late => "Late",
            Self::NoRoom => "NoRoom",
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
    use tokio::time::Instant;

    use super::*;
    use crate::message::buffer_budget::{BufferBudget, UNCOUNTED};

    type TestBody = UnsyncBoxBody<Bytes, std::io::Error>;

    /// The smallest chunk that counts, and by six bytes.
    static CHUNK: [u8; UNCOUNTED + 6] = [b'x'; UNCOUNTED + 6];
    const MAX: usize = UNCOUNTED + 6;

    /// These chunks; then the body ends, or stalls.
    fn body(chunks: &[&'static [u8]], stalls: bool) -> TestBody {
        let frame = |chunk: &&'static [u8]| Ok(Frame::data(Bytes::from_static(chunk)));
        let frames = stream::iter(chunks.iter().map(frame).collect::<Vec<_>>());
        if stalls {
            return StreamBody::new(frames.chain(stream::pending())).boxed_unsync();
        }
        StreamBody::new(frames).boxed_unsync()
    }

    #[tokio::test]
    async fn content_counts_until_it_is_dropped() {
        let budget = BufferBudget::new(6);
        let read = async |body| read_content(body, MAX, budget.permit()).await;
        let first = read(body(&[&CHUNK], false)).await;
        let RequestContent::Whole(content) = &first else {
            panic!("{first:?}");
        };
        assert_eq!(content.bytes, &CHUNK[..]);
        assert!(budget.is_full());
        let other = read(body(&[&CHUNK], false)).await;
        assert!(matches!(other, RequestContent::NoRoom), "{other:?}");
        let small = read(body(&[b"small"], false)).await;
        assert!(matches!(small, RequestContent::Whole(_)), "{small:?}");
        drop(first);
        let other = read(body(&[&CHUNK], false)).await;
        assert!(matches!(other, RequestContent::Whole(_)), "{other:?}");
    }

    #[tokio::test]
    async fn content_that_is_too_long_counts_until_it_is_read_again() {
        let budget = BufferBudget::new(6);
        let read = read_content(body(&[&CHUNK, b"more"], false), MAX, budget.permit()).await;
        let RequestContent::Unsuitable { mut body, .. } = read else {
            panic!("{read:?}");
        };
        for chunk in [&CHUNK[..], b"more"] {
            assert!(budget.is_full());
            let frame = body.frame().await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), chunk);
        }
        assert!(body.frame().await.is_none());
        assert!(!budget.is_full());
    }

    #[tokio::test(start_paused = true)]
    async fn content_that_does_not_arrive_in_time_is_given_up() {
        let budget = BufferBudget::new(6);
        let start = Instant::now();
        let read = read_content(body(&[&CHUNK], true), MAX, budget.permit()).await;
        assert!(matches!(read, RequestContent::Late), "{read:?}");
        assert_eq!(start.elapsed().as_secs(), CONTENT_TIMEOUT.as_secs());
        assert!(!budget.is_full(), "it is no longer held");
    }
}

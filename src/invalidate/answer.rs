//! Looking into an answer for the fields that `{answer.FIELD}` names.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{task::yield_now, time::timeout};

use crate::{
    engine::fill::concatenate,
    error::BoxError,
    keep::values::is_json,
    message::{response_body::ResponseBody, shared_buffer},
};

/// The longest answer that is looked into for its fields, in bytes.
pub(super) const LONGEST: u64 = 1 << 20;

/// An answer's content.
pub(super) struct Whole {
    pub(super) body: Bytes,
    pub(super) has_trailers: bool,
}

impl Whole {
    /// What it says, if it is JSON that can be looked into.
    pub(super) fn fields(&self, headers: &HeaderMap) -> Option<Value> {
        let short = self.body.len() as u64 <= LONGEST;
        let json = short && calls_itself_json(headers);
        json.then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
    }
}

pub(super) fn calls_itself_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| is_json(kind.as_bytes()))
}

/// The content of an answer, and the same as it goes on to the caller. `None` if it is longer than
/// `longest`, in too many pieces, breaks off, takes longer than [`PATIENCE`], or nothing is wanted of it (0).
pub(super) async fn whole<R>(body: R, longest: u64) -> (Option<Whole>, ResponseBody<R>)
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    if longest == 0 || body.size_hint().lower() > longest {
        return (None, ResponseBody::inner(body));
    }
    let mut body = Box::pin(body);
    let mut read = Read::default();
    let end = timeout(PATIENCE, read.whole(body.as_mut(), longest)).await;
    let Read {
        chunks, trailers, ..
    } = read;
    match end {
        Ok(Ok(true)) => {
            let whole = Whole {
                body: concatenate(chunks.iter()),
                has_trailers: trailers.is_some(),
            };
            (Some(whole), ResponseBody::chunks(chunks, trailers))
        }
        Ok(Err(error)) => (None, ResponseBody::failed(chunks, error)),
        Ok(Ok(false)) | Err(_) => (None, ResponseBody::resumed(chunks, body)),
    }
}

/// What has come of a body; it stays when the reading is given up.
#[derive(Default)]
struct Read {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    length: u64,
}

impl Read {
    /// False if there is more than `longest`, or in too many pieces.
    async fn whole<B>(&mut self, mut body: Pin<&mut B>, longest: u64) -> Result<bool, BoxError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let most = shared_buffer::most_pieces(usize::try_from(longest).unwrap_or(usize::MAX));
        let into = |frame: Result<_, B::Error>| frame.map_err(Into::<BoxError>::into);
        while let Some(frame) = body.frame().await.map(into) {
            match frame?.into_data() {
                // Of no use, and an endless row of them would never reach the limit.
                Ok(chunk) if chunk.is_empty() => yield_now().await,
                Ok(chunk) => {
                    self.length += chunk.len() as u64;
                    self.chunks.push_back(chunk);
                }
                Err(frame) => {
                    // Nothing follows them.
                    self.trailers = frame.into_trailers().ok();
                    return Ok(true);
                }
            }
            if self.length > longest || self.chunks.len() > most {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// How long an answer, and the invalidation with it, waits for a body that is looked into.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    type Chunk = Result<Frame<Bytes>, std::io::Error>;

    async fn answer(kind: &str, chunks: Vec<Chunk>) -> (Option<Value>, Result<Bytes, BoxError>) {
        let body = StreamBody::new(stream::iter(chunks));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().expect("a value"))]);
        let (whole, body) = whole(body, LONGEST).await;
        let fields = whole.and_then(|whole| whole.fields(&headers));
        let body = body.collect().await;
        (fields, body.map(http_body_util::Collected::to_bytes))
    }

    fn data(bytes: impl Into<Bytes>) -> Chunk {
        Ok(Frame::data(bytes.into()))
    }

    #[tokio::test]
    async fn a_json_answer_is_read_and_passed_on() {
        let chunks = vec![data("{\"a\""), data(":1}")];
        let (fields, body) = answer("application/json; charset=utf-8", chunks).await;
        assert_eq!(fields.expect("fields")["a"], 1);
        assert_eq!(body.expect("whole"), "{\"a\":1}");
    }

    #[tokio::test]
    async fn what_is_no_json_or_too_long_is_passed_on_unread() {
        let (fields, body) = answer("text/plain", vec![data("{}")]).await;
        assert_eq!((fields, body.expect("whole")), (None, Bytes::from("{}")));
        let (fields, body) = answer("application/json", vec![data("{")]).await;
        assert_eq!((fields, body.expect("whole")), (None, Bytes::from("{")));
        let half = vec![b' '; (LONGEST as usize / 2) + 1];
        let chunks = vec![data(half.clone()), data(half), data("1")];
        let (fields, body) = answer("application/json", chunks).await;
        assert_eq!(fields, None);
        assert_eq!(body.expect("whole").len() as u64, LONGEST + 3);
    }

    /// What holds a piece takes more room than a piece of one byte, or of none.
    // Paused: a busy machine takes longer than a body is waited for.
    #[tokio::test(start_paused = true)]
    async fn an_answer_in_crumbs_is_passed_on_unread() {
        let crumbs = |number| (0..number).map(|_| data(" ")).chain([data("{\"a\":1}")]);
        let (fields, body) = answer("application/json", crumbs(30_000).collect()).await;
        assert!(fields.is_some());
        assert_eq!(body.expect("whole").len(), 30_007);
        let (fields, body) = answer("application/json", crumbs(40_000).collect()).await;
        assert_eq!(fields, None);
        assert_eq!(body.expect("whole").len(), 40_007);
        let empty = (0..40_000).map(|_| data("")).chain([data("{\"a\":1}")]);
        let (fields, _) = answer("application/json", empty.collect()).await;
        assert!(fields.is_some(), "they are not held");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_fails_for_the_caller() {
        let chunks = vec![data("{}"), Err(std::io::Error::other("cut"))];
        let (fields, body) = answer("application/json", chunks).await;
        assert_eq!(fields, None);
        assert!(body.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_waited_for_no_longer_than_that() {
        // The write has been committed: neither its invalidation nor its answer may hang on this.
        let (more, rest) = told_more(vec![data("{\"a\""), data("")]);
        let (whole, body) = whole(StreamBody::new(rest), LONGEST).await;
        assert!(whole.is_none());
        more.send(data(":1}")).expect("it still reads");
        drop(more);
        let body = body.collect().await.expect("the rest of it");
        assert_eq!(body.to_bytes(), "{\"a\":1}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_row_of_nothing_is_given_up_and_not_kept() {
        let endless = StreamBody::new(stream::repeat_with(|| data("")));
        let reading = tokio::spawn(whole(endless, LONGEST));
        yield_now().await;
        tokio::time::advance(PATIENCE).await;
        let (whole, body) = reading.await.expect("it ends");
        assert!(whole.is_none());
        assert_eq!(body.size_hint().lower(), 0);
    }

    /// A body that goes on when it is told more.
    fn told_more(
        chunks: Vec<Chunk>,
    ) -> (
        tokio::sync::mpsc::UnboundedSender<Chunk>,
        impl stream::Stream<Item = Chunk> + Unpin,
    ) {
        let (more, mut rest) = tokio::sync::mpsc::unbounded_channel();
        for chunk in chunks {
            more.send(chunk).expect("room");
        }
        (more, stream::poll_fn(move |cx| rest.poll_recv(cx)))
    }
}

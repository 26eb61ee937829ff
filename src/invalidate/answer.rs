//! Looking into an answer for the fields that `{answer.FIELD}` names.

use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use serde_json::Value;

use crate::{
    body::ResponseBody,
    buffer,
    error::BoxError,
    keep::{fill::concatenate, values::is_json},
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
/// `longest`, breaks off, or nothing is wanted of it (0).
pub(super) async fn whole<R>(body: R, longest: u64) -> (Option<Whole>, ResponseBody<R>)
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    if longest == 0 || body.size_hint().lower() > longest {
        return (None, ResponseBody::inner(body));
    }
    let mut body = Box::pin(body);
    let mut chunks: VecDeque<Bytes> = VecDeque::new();
    let mut trailers = None;
    let mut length = 0;
    while let Some(frame) = next(body.as_mut()).await {
        match frame.map(Frame::into_data) {
            Ok(Ok(chunk)) if chunk.is_empty() => {}
            Ok(Ok(chunk)) => {
                length += chunk.len() as u64;
                chunks.push_back(chunk);
            }
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(error) => return (None, ResponseBody::failed(chunks, error.into())),
        }
        let most = buffer::most_pieces(usize::try_from(longest).unwrap_or(usize::MAX));
        if length > longest || chunks.len() > most {
            return (None, ResponseBody::resumed(chunks, body));
        }
    }
    let whole = Whole {
        body: concatenate(chunks.iter()),
        has_trailers: trailers.is_some(),
    };
    (Some(whole), ResponseBody::chunks(chunks, trailers))
}

async fn next<B: Body>(mut body: Pin<&mut B>) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
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
    #[tokio::test]
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
}

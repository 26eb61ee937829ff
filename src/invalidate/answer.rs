//! Looking into an answer for the fields that `{answer.FIELD}` names.

use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use serde_json::Value;

use crate::{
    body::ResponseBody,
    error::BoxError,
    keep::{fill::concatenate, values::is_json},
};

/// The longest answer that is looked into, in bytes.
const LONGEST: u64 = 1 << 20;

/// A JSON answer, and the same as it goes on to the caller. `None` if it is no JSON, or too long.
pub(super) async fn read<R>(response: Response<R>) -> (Option<Value>, Response<ResponseBody<R>>)
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let kind = response.headers().get(CONTENT_TYPE);
    let json = kind.is_some_and(|kind| is_json(kind.as_bytes()));
    if !json || response.body().size_hint().lower() > LONGEST {
        return (None, response.map(ResponseBody::inner));
    }
    let (head, body) = response.into_parts();
    let (fields, body) = collect(body).await;
    (fields, Response::from_parts(head, body))
}

async fn collect<R>(body: R) -> (Option<Value>, ResponseBody<R>)
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut body = Box::pin(body);
    let mut chunks: VecDeque<Bytes> = VecDeque::new();
    let mut trailers = None;
    let mut length = 0;
    while let Some(frame) = next(body.as_mut()).await {
        match frame.map(Frame::into_data) {
            Ok(Ok(chunk)) => {
                length += chunk.len() as u64;
                chunks.push_back(chunk);
            }
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(error) => return (None, ResponseBody::failed(chunks, error.into())),
        }
        if length > LONGEST {
            return (None, ResponseBody::resumed(chunks, body));
        }
    }
    let fields = serde_json::from_slice(&concatenate(chunks.iter())).ok();
    (fields, ResponseBody::chunks(chunks, trailers))
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
        let response = Response::builder()
            .header(CONTENT_TYPE, kind)
            .body(body)
            .expect("a response");
        let (fields, response) = read(response).await;
        let body = response.into_body().collect().await;
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

    #[tokio::test]
    async fn a_body_that_breaks_off_fails_for_the_caller() {
        let chunks = vec![data("{}"), Err(std::io::Error::other("cut"))];
        let (fields, body) = answer("application/json", chunks).await;
        assert_eq!(fields, None);
        assert!(body.is_err());
    }
}

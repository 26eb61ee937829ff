//! Buffering the content of a write's response, to read the fields that `{answer.FIELD}` names.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    engine::fill::concatenate,
    message::{
        buffer_budget::BufferPermit, capped_read::CappedRead, http_service::ServiceBody,
        media_type, response_body::ResponseBody,
    },
};

/// The complete content of a response.
pub(super) struct ResponseContent {
    pub(super) body: Bytes,
    pub(super) has_trailers: bool,
}

impl ResponseContent {
    /// The JSON value; `None` if the content is not JSON, or longer than [`MAX_LENGTH`].
    pub(super) fn fields(&self, headers: &HeaderMap) -> Option<Value> {
        let readable = self.body.len() as u64 <= MAX_LENGTH && is_json(headers);
        readable
            .then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
    }
}

/// Whether the content is JSON by its `Content-Type`.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|content_type| media_type::is_json(content_type.as_bytes()))
}

/// Reads the content of a response. Returns it together with the body to pass on. The returned body is
/// always complete.
///
/// What was read counts by `permit` until the returned body has been read.
///
/// The content is `None` if `max_length` is 0, or if the body is longer, has too many chunks, finds no
/// room, fails, or takes longer than [`TIMEOUT`].
pub(super) async fn read<R: ServiceBody>(
    body: R,
    max_length: u64,
    permit: BufferPermit,
) -> (Option<ResponseContent>, ResponseBody<R>) {
    if max_length == 0 || body.size_hint().lower() > max_length {
        return (None, ResponseBody::inner(body));
    }
    let mut body = Box::pin(body);
    let max_length = usize::try_from(max_length).unwrap_or(usize::MAX);
    let mut reader = CappedRead::sharing(max_length).counted_by(permit);
    let end = timeout(TIMEOUT, reader.read_to_end(body.as_mut())).await;
    let mut permit = reader.take_permit();
    let (chunks, trailers) = reader.into_parts();
    // The last chunk, which the limits did not allow, is held as well.
    permit.grow_to(chunks.iter().map(Bytes::len).sum());
    match end {
        Ok(Ok(true)) => {
            let content = ResponseContent {
                body: concatenate(chunks.iter()),
                has_trailers: trailers.is_some(),
            };
            let body = ResponseBody::buffered(chunks, trailers, permit);
            (Some(content), body)
        }
        Ok(Err(error)) => (None, ResponseBody::failed(chunks, error.into())),
        Ok(Ok(false)) | Err(_) => (None, ResponseBody::resumed(chunks, permit, body)),
    }
}

/// The longest content that is searched for fields, in bytes.
pub(super) const MAX_LENGTH: u64 = 1 << 20;

/// The longest time for which the response, and with it the invalidation, waits for its content.
const TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::error::BoxError;

    type Chunk = Result<Frame<Bytes>, std::io::Error>;

    async fn read_json(kind: &str, chunks: Vec<Chunk>) -> (Option<Value>, Result<Bytes, BoxError>) {
        let body = StreamBody::new(stream::iter(chunks));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().expect("a value"))]);
        let (content, body) = read(body, MAX_LENGTH, BufferPermit::default()).await;
        let fields = content.and_then(|content| content.fields(&headers));
        let body = body.collect().await;
        (fields, body.map(http_body_util::Collected::to_bytes))
    }

    fn data(bytes: impl Into<Bytes>) -> Chunk {
        Ok(Frame::data(bytes.into()))
    }

    #[tokio::test]
    async fn json_content_is_read_and_passed_on() {
        let chunks = vec![data("{\"a\""), data(":1}")];
        let (fields, body) = read_json("application/json; charset=utf-8", chunks).await;
        assert_eq!(fields.expect("fields")["a"], 1);
        assert_eq!(body.expect("whole"), "{\"a\":1}");
    }

    #[tokio::test]
    async fn content_that_is_not_json_or_too_long_is_passed_on() {
        let (fields, body) = read_json("text/plain", vec![data("{}")]).await;
        assert_eq!((fields, body.expect("whole")), (None, Bytes::from("{}")));
        let (fields, body) = read_json("application/json", vec![data("{")]).await;
        assert_eq!((fields, body.expect("whole")), (None, Bytes::from("{")));
        let half = vec![b' '; (MAX_LENGTH as usize / 2) + 1];
        let chunks = vec![data(half.clone()), data(half), data("1")];
        let (fields, body) = read_json("application/json", chunks).await;
        assert_eq!(fields, None);
        assert_eq!(body.expect("whole").len() as u64, MAX_LENGTH + 3);
    }

    /// Holding a chunk of one byte takes much more memory than the byte.
    // Paused, because reading takes longer than the timeout on a busy machine.
    #[tokio::test(start_paused = true)]
    async fn content_in_too_many_chunks_is_passed_on() {
        let tiny = |number| (0..number).map(|_| data(" ")).chain([data("{\"a\":1}")]);
        let (fields, body) = read_json("application/json", tiny(30_000).collect()).await;
        assert!(fields.is_some());
        assert_eq!(body.expect("whole").len(), 30_007);
        let (fields, body) = read_json("application/json", tiny(40_000).collect()).await;
        assert_eq!(fields, None);
        assert_eq!(body.expect("whole").len(), 40_007);
        let empty = (0..40_000).map(|_| data("")).chain([data("{\"a\":1}")]);
        let (fields, _) = read_json("application/json", empty.collect()).await;
        assert!(fields.is_some(), "empty chunks are not kept");
    }

    #[tokio::test]
    async fn a_body_that_fails_fails_for_the_caller() {
        let chunks = vec![data("{}"), Err(std::io::Error::other("cut"))];
        let (fields, body) = read_json("application/json", chunks).await;
        assert_eq!(fields, None);
        assert!(body.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_passed_on_after_the_timeout() {
        // Neither the invalidation of a committed write nor its response may depend on the body.
        let (more, rest) = appendable(vec![data("{\"a\""), data("")]);
        let (content, body) =
            read(StreamBody::new(rest), MAX_LENGTH, BufferPermit::default()).await;
        assert!(content.is_none());
        more.send(data(":1}")).expect("it still reads");
        drop(more);
        let body = body.collect().await.expect("the rest of it");
        assert_eq!(body.to_bytes(), "{\"a\":1}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_stream_of_empty_chunks_is_given_up() {
        let endless = StreamBody::new(stream::repeat_with(|| data("")));
        let reading = tokio::spawn(read(endless, MAX_LENGTH, BufferPermit::default()));
        tokio::task::yield_now().await;
        tokio::time::advance(TIMEOUT).await;
        let (content, body) = reading.await.expect("it ends");
        assert!(content.is_none());
        assert_eq!(body.size_hint().lower(), 0);
    }

    /// The chunks, followed by those that are sent later.
    fn appendable(
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

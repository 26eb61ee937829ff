//! The part of the service's response that the queue keeps.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName,
    header::{CONNECTION, CONTENT_LENGTH, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    response,
};
use tokio::time::timeout;

use crate::{
    message::{capped_read::CappedRead, http_service::ServiceBody},
    write_queue::answer::QueuedAnswer,
};

/// Reads up to `keep` bytes of the response's body. A body that fails or is slow is kept as far as it
/// came: the head says what became of the write.
pub(super) async fn read<R: ServiceBody>(
    head: &response::Parts,
    body: R,
    keep: usize,
) -> QueuedAnswer {
    let (body, is_cut) = read_up_to(body, keep).await;
    QueuedAnswer {
        status: head.status,
        headers: kept_fields(&head.headers),
        body,
        is_cut,
    }
}

/// Returns the bytes, and whether there may be more.
async fn read_up_to<R: ServiceBody>(body: R, keep: usize) -> (Bytes, bool) {
    if body.is_end_stream() {
        return (Bytes::new(), false);
    }
    if keep == 0 {
        return (Bytes::new(), true);
    }
    let mut body = Box::pin(body);
    let mut read = CappedRead::copying(keep);
    let end = timeout(LONGEST_READ, read.read_to_end(body.as_mut())).await;
    let is_whole = matches!(end, Ok(Ok(true)));
    let (chunks, _) = read.into_parts();
    let mut kept = BytesMut::new();
    for chunk in chunks {
        // The last chunk may be far longer than what is kept.
        let room = keep - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    (kept.freeze(), !is_whole)
}

/// The fields that describe the response itself, without cookies: they would be handed to whoever
/// reads the write's status.
fn kept_fields(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in LEFT_OUT {
        kept.remove(name);
    }
    // Their record would be refused as damaged.
    if kept.len() > MAX_FIELDS {
        kept.clear();
    }
    kept
}

const LEFT_OUT: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

const MAX_FIELDS: usize = 1024;

/// The write's end must not wait for a body that never ends.
const LONGEST_READ: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io};

    use futures_util::{StreamExt, stream};
    use http::{HeaderValue, Response};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    async fn keep<R: ServiceBody>(body: R, keep: usize) -> (Bytes, bool) {
        let (head, body) = Response::new(body).into_parts();
        let answer = read(&head, body, keep).await;
        (answer.body, answer.is_cut)
    }

    #[tokio::test]
    async fn a_body_is_cut_at_its_limit() {
        let body = || Full::from("content");
        assert_eq!(keep(body(), 7).await, ("content".into(), false));
        assert_eq!(keep(body(), 3).await, ("con".into(), true));
        assert_eq!(keep(body(), 0).await, (Bytes::new(), true));
        assert_eq!(keep(Full::default(), 0).await, (Bytes::new(), false));
    }

    #[tokio::test]
    async fn an_endless_body_is_neither_read_to_its_end_nor_buffered() {
        let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1000])));
        let body = StreamBody::new(stream::repeat_with(chunk));
        let (kept, is_cut) = keep(body, 2500).await;
        assert_eq!((kept.len(), is_cut), (2500, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_or_fails_is_kept_as_far_as_it_came() {
        let first = || stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
        let stalled = StreamBody::new(first().chain(stream::pending::<Result<_, io::Error>>()));
        assert_eq!(keep(stalled, 100).await, ("first".into(), true));
        let error = stream::iter([Err(io::Error::other("reset"))]);
        let failed = StreamBody::new(first().chain(error));
        assert_eq!(keep(failed, 100).await, ("first".into(), true));
    }

    #[test]
    fn cookies_and_fields_of_the_connection_are_not_kept() {
        let headers: HeaderMap = LEFT_OUT
            .into_iter()
            .chain([http::header::ETAG])
            .map(|name| (name, HeaderValue::from_static("1")))
            .collect();
        let kept = kept_fields(&headers);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["etag"]);
    }
}

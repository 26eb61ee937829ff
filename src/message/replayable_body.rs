//! The trait of request bodies that a layer can make from bytes.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body;
use http_body_util::{
    BodyExt, Empty, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};

use super::resumed_body::ResumedBody;

/// A request body that a layer can make from bytes: without content for a refresh in the
/// background, or with content that was read to make a key.
///
/// The layers keep the type of the request body, so that any middleware may stand between them and
/// the handler. The trait is implemented for the bodies of axum and tonic (feature `tonic`), boxed
/// bodies, [`Full`], [`Empty`] and `String`. Wrap a body that cannot be made from bytes, such as
/// hyper's `Incoming` or `http_body_util::Limited`, in a [`RequestBody`](super::RequestBody):
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{Empty, Limited};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_keep::{CacheLayer, Keep, message::RequestBody};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let handler = service_fn(async |_: Request<RequestBody<Limited<Empty<Bytes>>>>| {
///     Ok::<_, std::convert::Infallible>(Response::new("an engagement".to_owned()))
/// });
/// let service = CacheLayer::new(&Keep::default())
///     .layer(handler)
///     .map_request(|request: Request<_>| request.map(RequestBody::new));
///
/// let request = Request::get("/").body(Limited::new(Empty::new(), 1024)).unwrap();
/// assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request body that tower-keep can make from bytes",
    label = "does not implement `ReplayableBody`",
    note = "for hyper's `Incoming` and other bodies that cannot be made from bytes, wrap the body in front of the layer: `.map_request(|request: Request<_>| request.map(tower_keep::message::RequestBody::new))`",
    note = "if a layer outside changes the body's type, add `tower_http::map_request_body::MapRequestBodyLayer::new(axum::body::Body::new)` between them"
)]
pub trait ReplayableBody: Body<Data = Bytes> + Send + Sized + 'static {
    /// Makes a body with this content: empty, or read by a layer from a body of this type.
    ///
    /// It has no trailers, and its [`size_hint`](Body::size_hint) should be exact.
    fn from_bytes(bytes: Bytes) -> Self;

    /// Makes a body that yields the frames of `body`, trailers and errors included.
    ///
    /// A type that boxes its contents boxes `body`; one that holds its contents in memory collects
    /// it.
    fn resume(body: ResumedBody<Self>) -> Self;
}

impl ReplayableBody for axum_core::body::Body {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::from(bytes)
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        Self::new(body)
    }
}

#[cfg(feature = "tonic")]
impl ReplayableBody for tonic::body::Body {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::new(Full::new(bytes))
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        Self::new(body)
    }
}

impl<E: 'static> ReplayableBody for UnsyncBoxBody<Bytes, E> {
    fn from_bytes(bytes: Bytes) -> Self {
        Full::new(bytes).map_err(never).boxed_unsync()
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        body.boxed_unsync()
    }
}

impl<E: 'static> ReplayableBody for BoxBody<Bytes, E> {
    fn from_bytes(bytes: Bytes) -> Self {
        Full::new(bytes).map_err(never).boxed()
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        body.boxed()
    }
}

impl ReplayableBody for Full<Bytes> {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::new(bytes)
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        Self::new(content(body))
    }
}

impl ReplayableBody for Empty<Bytes> {
    fn from_bytes(_: Bytes) -> Self {
        Self::new()
    }

    fn resume(_: ResumedBody<Self>) -> Self {
        Self::new()
    }
}

/// Content that is not UTF-8 cannot have come from a `String`; its invalid parts are replaced.
impl ReplayableBody for String {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::from_utf8_lossy(&bytes).into_owned()
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        Self::from_bytes(content(body))
    }
}

fn never<E>(never: Infallible) -> E {
    match never {}
}

/// Collects a body whose frames are all in memory.
fn content<B: Body<Data = Bytes, Error = Infallible>>(body: ResumedBody<B>) -> Bytes {
    match body.collect().now_or_never() {
        Some(Ok(collected)) => collected.to_bytes(),
        None => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Debug, io};

    use futures_util::stream;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::{Collected, StreamBody};

    use super::*;
    use crate::message::request_body::RequestBody;

    type Frames = Vec<Result<Frame<Bytes>, io::Error>>;

    fn frames() -> Frames {
        let trailers =
            HeaderMap::from_iter([(http::header::ETAG, "\"a\"".parse().expect("a value"))]);
        vec![
            Ok(Frame::data(Bytes::from_static(b"one "))),
            Ok(Frame::data(Bytes::from_static(b"two"))),
            Ok(Frame::trailers(trailers)),
        ]
    }

    fn stream(frames: Frames) -> impl Body<Data = Bytes, Error = io::Error> + Send + Sync {
        StreamBody::new(stream::iter(frames))
    }

    async fn collect<B: Body<Data = Bytes, Error: Debug>>(body: B) -> Collected<Bytes> {
        body.collect().await.expect("a body without errors")
    }

    /// Reads `count` frames and resumes.
    async fn read_and_resume<B: ReplayableBody<Error: Debug>>(body: B, count: usize) -> B {
        let mut rest = Box::pin(body);
        let mut read = std::collections::VecDeque::new();
        for _ in 0..count {
            let frame = rest.frame().await.expect("a frame");
            read.push_back(frame.expect("no error"));
        }
        B::resume(ResumedBody::new(read, rest))
    }

    async fn makes_bodies_from_bytes<B: ReplayableBody<Error: Debug>>() {
        let body = B::from_bytes(Bytes::from_static(b"content"));
        assert_eq!(body.size_hint().exact(), Some(7));
        let body = collect(body).await;
        assert!(body.trailers().is_none());
        assert_eq!(body.to_bytes(), "content");
        let empty = B::from_bytes(Bytes::new());
        assert_eq!(empty.size_hint().exact(), Some(0));
        assert!(empty.is_end_stream());
        assert_eq!(collect(empty).await.to_bytes(), "");
    }

    async fn resumes_frames_in_order<B: ReplayableBody<Error: Debug>>(make: impl Fn(Frames) -> B) {
        for count in 0..=3 {
            let body = read_and_resume(make(frames()), count).await;
            let body = collect(body).await;
            let etag = body.trailers().map(|trailers| trailers["etag"].clone());
            assert_eq!(etag.expect("trailers"), "\"a\"");
            assert_eq!(body.to_bytes(), "one two", "{count} frames read");
        }
    }

    async fn passes_errors_on<B: ReplayableBody<Error: Debug>>(make: impl Fn(Frames) -> B) {
        let mut frames = frames();
        frames[1] = Err(io::Error::other("the client has gone"));
        let body = read_and_resume(make(frames), 1).await;
        let mut body = Box::pin(body);
        assert!(body.frame().await.expect("a frame").is_ok());
        assert!(body.frame().await.expect("an error").is_err());
    }

    async fn replays<B: ReplayableBody<Error: Debug>>(make: impl Fn(Frames) -> B) {
        makes_bodies_from_bytes::<B>().await;
        resumes_frames_in_order(&make).await;
        passes_errors_on(&make).await;
    }

    #[tokio::test]
    async fn axum_bodies_replay() {
        replays(|frames| axum_core::body::Body::new(stream(frames))).await;
    }

    #[cfg(feature = "tonic")]
    #[tokio::test]
    async fn tonic_bodies_replay() {
        replays(|frames| tonic::body::Body::new(stream(frames).map_err(tonic_status))).await;
    }

    #[cfg(feature = "tonic")]
    fn tonic_status(error: io::Error) -> tonic::Status {
        tonic::Status::from_error(error.into())
    }

    #[tokio::test]
    async fn boxed_bodies_replay() {
        replays(|frames| stream(frames).boxed()).await;
        replays(|frames| stream(frames).boxed_unsync()).await;
    }

    #[tokio::test]
    async fn wrapped_bodies_replay() {
        replays(|frames| RequestBody::new(stream(frames))).await;
        replays(|frames| RequestBody::new(RequestBody::new(stream(frames)))).await;
    }

    #[tokio::test]
    async fn bodies_in_memory_replay() {
        makes_bodies_from_bytes::<Full<Bytes>>().await;
        makes_bodies_from_bytes::<String>().await;
        for count in 0..=1 {
            let body = read_and_resume(Full::from("content"), count).await;
            assert_eq!(body.size_hint().exact(), Some(7));
            assert_eq!(collect(body).await.to_bytes(), "content");
            assert_eq!(
                read_and_resume("content".to_owned(), count).await,
                "content"
            );
        }
        let empty = read_and_resume(Empty::<Bytes>::from_bytes(Bytes::new()), 0).await;
        assert!(empty.is_end_stream());
    }

    #[tokio::test]
    async fn a_resumed_body_has_the_size_of_the_whole() {
        let body = RequestBody::new(Full::from("content"));
        let resumed = read_and_resume(body, 1).await;
        assert_eq!(resumed.size_hint().exact(), Some(7));
        assert!(!resumed.is_end_stream());
        let twice = read_and_resume(resumed, 1).await;
        assert_eq!(twice.size_hint().exact(), Some(7));
        let body = read_and_resume(RequestBody::new(stream(frames())), 1).await;
        assert_eq!(
            (body.size_hint().lower(), body.size_hint().upper()),
            (4, None)
        );
    }
}

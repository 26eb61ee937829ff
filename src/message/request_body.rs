//! Request bodies that can be made from bytes, and the adapter for those that cannot.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{
    BodyExt, Empty, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};
use pin_project_lite::pin_project;

use super::response_body::resumed_hint;

/// A request body that a layer can make from bytes: empty for a refresh in the background, and with
/// the content that was read for a key.
///
/// Layers keep the type of the request body, so that any middleware may stand between them and the
/// handler. It is implemented for the bodies of axum and tonic (feature `tonic`), for boxed bodies,
/// [`Full`], [`Empty`] and `String`. For a body that cannot be made from bytes, such as hyper's
/// `Incoming` or a `Limited`, wrap it in a [`RequestBody`]:
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
    /// A body of these bytes: empty, or content that was read from a body of this type.
    fn from_bytes(bytes: Bytes) -> Self;

    /// A body that was read in part, with what has been read back in front of the rest.
    fn resume(body: Resumed<Self>) -> Self;
}

/// A body that was read in part: the frames that were read, then the rest.
pub struct Resumed<B> {
    read: VecDeque<Frame<Bytes>>,
    rest: Pin<Box<B>>,
}

impl<B> Resumed<B> {
    pub(crate) fn new(read: VecDeque<Frame<Bytes>>, rest: Pin<Box<B>>) -> Self {
        Self { read, rest }
    }
}

impl<B: Body<Data = Bytes>> Body for Resumed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.read.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.rest.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.iter().filter_map(Frame::data_ref);
        let read = read.map(|data| data.len() as u64).sum();
        resumed_hint(read, self.rest.size_hint())
    }
}

impl<B> fmt::Debug for Resumed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumed").finish_non_exhaustive()
    }
}

pin_project! {
    /// Makes a [`ReplayableBody`] of a body that cannot be made from bytes, such as hyper's
    /// `Incoming`.
    ///
    /// See [`ReplayableBody`] for an example.
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Original { #[pin] body: B },
        Bytes { bytes: Option<Bytes> },
        Resumed { body: Resumed<RequestBody<B>> },
    }
}

impl<B> RequestBody<B> {
    /// Wraps `body`, which passes untouched unless the layer has to read it.
    pub fn new(body: B) -> Self {
        Self {
            kind: Kind::Original { body },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Original { body } => body.poll_frame(cx),
            KindProj::Bytes { bytes } => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            KindProj::Resumed { body } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Original { body } => body.is_end_stream(),
            Kind::Bytes { bytes } => bytes.is_none(),
            Kind::Resumed { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Original { body } => body.size_hint(),
            Kind::Bytes { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Resumed { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl<B> ReplayableBody for RequestBody<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    fn from_bytes(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            kind: Kind::Bytes { bytes },
        }
    }

    fn resume(body: Resumed<Self>) -> Self {
        Self {
            kind: Kind::Resumed { body },
        }
    }
}

impl ReplayableBody for axum_core::body::Body {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::from(bytes)
    }

    fn resume(body: Resumed<Self>) -> Self {
        Self::new(body)
    }
}

#[cfg(feature = "tonic")]
impl ReplayableBody for tonic::body::Body {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::new(Full::new(bytes))
    }

    fn resume(body: Resumed<Self>) -> Self {
        Self::new(body)
    }
}

impl<E: 'static> ReplayableBody for UnsyncBoxBody<Bytes, E> {
    fn from_bytes(bytes: Bytes) -> Self {
        Full::new(bytes).map_err(never).boxed_unsync()
    }

    fn resume(body: Resumed<Self>) -> Self {
        body.boxed_unsync()
    }
}

impl<E: 'static> ReplayableBody for BoxBody<Bytes, E> {
    fn from_bytes(bytes: Bytes) -> Self {
        Full::new(bytes).map_err(never).boxed()
    }

    fn resume(body: Resumed<Self>) -> Self {
        body.boxed()
    }
}

impl ReplayableBody for Full<Bytes> {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::new(bytes)
    }

    fn resume(body: Resumed<Self>) -> Self {
        Self::new(content(body))
    }
}

impl ReplayableBody for Empty<Bytes> {
    fn from_bytes(_: Bytes) -> Self {
        Self::new()
    }

    fn resume(_: Resumed<Self>) -> Self {
        Self::new()
    }
}

impl ReplayableBody for String {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::from_utf8_lossy(&bytes).into_owned()
    }

    fn resume(body: Resumed<Self>) -> Self {
        Self::from_bytes(content(body))
    }
}

fn never<E>(never: Infallible) -> E {
    match never {}
}

/// The content of a body that is held in memory, whose frames are all ready.
fn content<B: Body<Data = Bytes, Error = Infallible>>(mut body: Resumed<B>) -> Bytes {
    let mut cx = Context::from_waker(Waker::noop());
    let mut content = BytesMut::new();
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) {
        if let Some(data) = frame.data_ref() {
            content.extend_from_slice(data);
        }
    }
    content.freeze()
}

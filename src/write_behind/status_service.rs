use std::{
    convert::Infallible,
    future::Pending,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use super::status;
use crate::{
    engine::core::Engine,
    keep::handle::Keep,
    message::{response_body::ResponseBody, response_future::ResponseFuture},
};

/// A service that answers with the status of a write, whose id is the last segment of the path.
///
/// [`WriteBehindLayer`](super::WriteBehindLayer) answers these requests itself where it gets them. Mount
/// this service where it does not, for example because the layer is that of single routes. The user must
/// be known here as well: authentication stands outside.
///
/// ```
/// use axum::Router;
/// use tower_keep::{Keep, write_behind::WriteStatusService};
///
/// let keep = Keep::default();
/// let app: Router = Router::new().route_service("/writes/{id}", WriteStatusService::new(&keep));
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct WriteStatusService {
    keep: Keep,
}

impl WriteStatusService {
    /// Creates a service over `keep`.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self { keep: keep.clone() }
    }
}

/// The inner service that there is not.
type NoService = Pending<Result<Response<Full<Bytes>>, Infallible>>;

impl<B> Service<Request<B>> for WriteStatusService {
    type Response = Response<ResponseBody<Full<Bytes>>>;
    type Error = Infallible;
    type Future = ResponseFuture<NoService, Full<Bytes>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let engine: Arc<Engine> = Arc::clone(self.keep.engine());
        ResponseFuture::boxed(async move { Ok(status::respond(&engine, &parts).await) })
    }
}

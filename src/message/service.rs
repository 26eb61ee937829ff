//! What every layer of the crate asks of the service within it, said once.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// A service of HTTP requests with body `B` that can be cloned and sent to another task.
pub(crate) trait HttpService<B>:
    Service<
        Request<B>,
        Response = Response<Self::ResponseBody>,
        Error = Self::ServiceError,
        Future = Self::ServiceFuture,
    > + Clone
    + Send
    + 'static
{
    type ResponseBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
    type ServiceError: Send;
    type ServiceFuture: Future<Output = Result<Response<Self::ResponseBody>, Self::ServiceError>>
        + Send;
}

impl<S, B, R> HttpService<B> for S
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type ResponseBody = R;
    type ServiceError = S::Error;
    type ServiceFuture = S::Future;
}

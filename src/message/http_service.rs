//! The bounds on the inner service and on its responses' bodies, each as one trait.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// A service for requests with body `B` that can be cloned and called from another task.
///
/// It is implemented for every service that meets the bounds.
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
    type ResponseBody: ServiceBody;
    type ServiceError: Send;
    type ServiceFuture: Future<Output = Result<Response<Self::ResponseBody>, Self::ServiceError>>
        + Send;
}

impl<S, B, R: ServiceBody> HttpService<B> for S
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send,
{
    type ResponseBody = R;
    type ServiceError = S::Error;
    type ServiceFuture = S::Future;
}

/// The body of the inner service's responses.
pub(crate) trait ServiceBody:
    Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static
{
}

impl<R> ServiceBody for R where R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static {}

//! The application's check of a write before it is accepted.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};

pub(super) type Validate =
    dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<(), WriteRefusal>> + Send + Sync;

/// The response to a write that the application does not accept; made from a status or a response.
#[derive(Clone, Debug)]
pub struct WriteRefusal(Response<Bytes>);

impl WriteRefusal {
    pub(super) fn into_response(self) -> Response<Bytes> {
        self.0
    }
}

impl From<StatusCode> for WriteRefusal {
    fn from(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self(response)
    }
}

impl<B: Into<Bytes>> From<Response<B>> for WriteRefusal {
    fn from(response: Response<B>) -> Self {
        Self(response.map(Into::into))
    }
}

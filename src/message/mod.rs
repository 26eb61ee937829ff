//! HTTP messages as layers handle them: bodies, futures, the request's target, layer markers.

pub(crate) mod client_request;
pub(crate) mod deferred_end;
pub(crate) mod future;
pub(crate) mod header_map;
pub(crate) mod layer_markers;
pub(crate) mod peer;
pub(crate) mod prebuilt_head;
pub(crate) mod replay;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod service;
pub(crate) mod shared_buffer;
pub(crate) mod static_values;
pub(crate) mod target;

pub use self::{
    future::ResponseFuture,
    request_body::{ReplayableBody, RequestBody, Resumed},
    response_body::ResponseBody,
};

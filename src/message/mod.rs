//! The request bodies, response bodies and response futures of the layers.
//!
//! The layers keep the type of the request body, which must be a [`ReplayableBody`], so that any
//! middleware may stand between them and inside them. They turn a response body `R` into a
//! [`ResponseBody<R>`](ResponseBody). The page [`guide::inner_service`](crate::guide::inner_service)
//! lists everything that the layers require of the service they wrap.
//!
//! The bodies of axum and tonic are `ReplayableBody`. With plain hyper, wrap `Incoming` outside the
//! outermost layer:
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, service_fn};
//! use tower_keep::{CacheLayer, Keep, RateLimitLayer, message::RequestBody};
//!
//! async fn handler<B>(_: Request<B>) -> Result<Response<String>, std::convert::Infallible> {
//!     Ok(Response::new("an engagement".to_owned()))
//! }
//!
//! let keep = Keep::default();
//! let service = ServiceBuilder::new()
//!     .map_request(|request: Request<hyper::body::Incoming>| request.map(RequestBody::new))
//!     .layer(RateLimitLayer::new(&keep))
//!     .layer(CacheLayer::new(&keep))
//!     .service(service_fn(handler));
//! # fn is_a_service<S: tower::Service<Request<hyper::body::Incoming>>>(_: S) {}
//! # is_a_service(service);
//! ```

pub(crate) mod buffer_budget;
pub(crate) mod capped_read;
pub(crate) mod client_request;
pub(crate) mod content_refusal;
pub(crate) mod deferred_end;
pub(crate) mod drain;
pub(crate) mod header_map;
pub(crate) mod http_service;
pub(crate) mod layer_markers;
pub(crate) mod matched_route;
pub(crate) mod media_type;
pub(crate) mod pass_through;
pub(crate) mod peer_address;
pub(crate) mod prebuilt_head;
pub(crate) mod replayable_body;
pub(crate) mod request_body;
pub(crate) mod request_content;
pub(crate) mod response_body;
pub(crate) mod response_future;
pub(crate) mod resumed_body;
pub(crate) mod shared_buffer;
pub(crate) mod static_values;
pub(crate) mod target;
pub(crate) mod unconditional_get;

pub use self::{
    replayable_body::ReplayableBody, request_body::RequestBody, response_body::ResponseBody,
    response_future::ResponseFuture, resumed_body::ResumedBody,
};

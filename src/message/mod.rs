//! The bodies and the future that all layers of the crate share, and what the layers need of the
//! service inside.
//!
//! # What the inner service must be
//!
//! Every layer wraps a `tower::Service<Request<B>, Response = Response<R>>`. A layer that answers
//! from the cache is always ready and calls the inner service only when its answer is needed, also
//! from other tasks: for a refresh in the background, or to fetch for several clients at once.
//! Therefore:
//!
//! | what | must be | if it is not |
//! |---|---|---|
//! | the service | `Clone + Send + 'static` | `tower::buffer::Buffer` or `tower::util::BoxCloneService` makes it so |
//! | its future | `Send` | |
//! | its error | `Send`; it is passed on unchanged | axum wants `Infallible`: `axum::error_handling::HandleErrorLayer` outside of the layer |
//! | the request body `B` | [`ReplayableBody`] | wrap it in a [`RequestBody`] |
//! | the response body `R` | `Body<Data = Bytes> + Send + 'static`, with an error that is `Into<BoxError>` | |
//!
//! The layers keep the type of the request body, so that any middleware may stand between them and
//! inside them. They turn a response body `R` into a [`ResponseBody<R>`](ResponseBody).
//!
//! With axum and tonic nothing is to be done: their bodies are `ReplayableBody`, and their routers
//! can be cloned. With plain hyper, wrap `Incoming` in front of the outermost layer:
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
//!
//! In tests, call `tower::ServiceExt::oneshot(service, request)` rather than
//! `service.oneshot(request)`: if a bound is not met, the compiler then says which one.

pub(crate) mod client_request;
pub(crate) mod deferred_end;
pub(crate) mod future;
pub(crate) mod header_map;
pub(crate) mod http_service;
pub(crate) mod layer_markers;
pub(crate) mod media_type;
pub(crate) mod peer_address;
pub(crate) mod prebuilt_head;
pub(crate) mod read;
pub(crate) mod replayable_body;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod resumed_body;
pub(crate) mod shared_buffer;
pub(crate) mod static_values;
pub(crate) mod target;
pub(crate) mod unconditional_get;

pub use self::{
    future::ResponseFuture, replayable_body::ReplayableBody, request_body::RequestBody,
    response_body::ResponseBody, resumed_body::Resumed,
};

//! HTTP caching: answers requests from stored responses.

mod answer;
mod ask;
mod body_key;
mod bypass;
mod fetch;
mod fill;
mod layer;
mod miss;
mod recipe;
mod refresh;
mod search;
mod seconds;
mod service;
mod store;
mod tags;
mod validate;
mod write;

pub use layer::CacheLayer;
pub use service::CacheService;

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, request};

use super::{
    decision::Decision,
    fields::{RateLimitFields, Reset},
};
use crate::{engine::core::Engine, keep::handle::Keep};

/// The settings of a [`RateLimitLayer`](super::RateLimitLayer).
#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    /// The names of the limits that apply; `None` for all limits of the table.
    pub(super) only: Option<Box<[Box<str>]>>,
    pub(super) cost: Option<Arc<CostFn>>,
    /// The format of `X-RateLimit-Reset`; `None` adds no `X-RateLimit-*` fields.
    pub(super) x_ratelimit: Option<Reset>,
    pub(super) refuse: Option<Arc<RefuseFn>>,
}

pub(super) type CostFn = dyn Fn(&request::Parts) -> u64 + Send + Sync;
pub(super) type RefuseFn = dyn Fn(&Decision, &request::Parts) -> Response<Bytes> + Send + Sync;

impl Config {
    #[inline]
    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.keep.engine()
    }

    /// Whether the limit of this name applies.
    #[inline]
    pub(super) fn selects(&self, name: &str) -> bool {
        let Some(only) = &self.only else { return true };
        only.iter().any(|selected| **selected == *name)
    }

    /// The response fields that report this decision.
    pub(super) fn fields(&self, decision: &Decision) -> Option<RateLimitFields> {
        let x_ratelimit = self
            .x_ratelimit
            .map(|reset| (reset, self.engine().clock.now().wall));
        RateLimitFields::of(decision, x_ratelimit)
    }
}

//! A request through the layer with its response fields, compared with `tower_governor`.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};
use tower_keep::{
    Keep, Limit, Table,
    rate_limit::RateLimitLayer,
    table::{By, days, secs},
};

use super::{
    subjects,
    support::{
        Case, compare,
        inner::{Inner, response_of},
    },
};

const FIELD: &str = "x-key";
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
const PLENTY: u32 = 1_000_000_000;

pub(crate) fn run() {
    let inner = FixedHead(Arc::new(Inner::new(1024).head().clone()));
    let names: Vec<HeaderValue> = (0..subjects())
        .map(|i| format!("user-{i:08}").parse().expect("visible ASCII"))
        .collect();
    let elsewhere = limit(u64::from(PLENTY), secs(1)).path("/elsewhere");
    compare(
        "a request through the layer, with fields (goal: tower_governor; a refusal as an admission)",
        vec![
            Case::new("inner service, no layer", in_turn(inner.clone(), &names)),
            Case::new(
                "RateLimitLayer, no limit applies",
                in_turn(ours(&inner, elsewhere), &names),
            ),
            Case::new(
                "tower_governor, admitted",
                in_turn(theirs(&inner, PLENTY, secs(1)), &names),
            ),
            Case::new(
                "RateLimitLayer, admitted",
                in_turn(ours(&inner, limit(u64::from(PLENTY), secs(1))), &names),
            ),
            Case::new(
                "tower_governor, refused",
                in_turn(theirs(&inner, 1, days(1)), &names),
            ),
            Case::new(
                "RateLimitLayer, refused",
                in_turn(ours(&inner, limit(1, days(1))), &names),
            ),
        ],
    );
}

fn limit(limit: u64, window: Duration) -> Limit {
    Limit::new("api", limit, window).by([By::Header(FIELD.into())])
}

fn ours(
    inner: &FixedHead,
    limit: Limit,
) -> impl Service<Request<()>, Response: Sized, Error = Infallible> + use<> {
    let keep = Keep::new(Table::new().limit(limit)).expect("a valid table");
    RateLimitLayer::new(&keep).layer(inner.clone())
}

fn theirs(
    inner: &FixedHead,
    burst: u32,
    window: Duration,
) -> impl Service<Request<()>, Response: Sized, Error = Infallible> + use<> {
    let config = GovernorConfigBuilder::default()
        .key_extractor(FieldExtractor)
        .period((window / burst).max(Duration::from_nanos(1)))
        .burst_size(burst)
        .use_headers()
        .finish()
        .expect("neither is zero");
    GovernorLayer::new(config).layer(inner.clone())
}

/// Sends requests for the subjects in turn.
fn in_turn<S>(mut service: S, names: &[HeaderValue]) -> impl FnMut(u64)
where
    S: Service<Request<()>, Error = Infallible>,
{
    let mut at = 0;
    move |n| {
        for _ in 0..n {
            at = (at + 1) % names.len();
            let mut request = Request::new(());
            request.extensions_mut().insert(PEER);
            request.headers_mut().insert(FIELD, names[at].clone());
            drop(response_of(&mut service, request));
        }
    }
}

#[derive(Clone, Debug)]
struct FieldExtractor;

impl KeyExtractor for FieldExtractor {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let value = request.headers().get(FIELD);
        value
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
            .ok_or(GovernorError::UnableToExtractKey)
    }
}

/// Answers with a clone of the same head.
#[derive(Clone)]
struct FixedHead(Arc<HeaderMap>);

impl<B> Service<Request<B>> for FixedHead {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = HeaderMap::clone(&self.0);
        ready(Ok(response))
    }
}

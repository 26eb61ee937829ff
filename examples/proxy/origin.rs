//! The origin as a service: forwards requests and receives responses.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request, response,
    uri::{Authority, Scheme},
};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time;
use tower::Service;

use crate::{
    authentication,
    fields::{self, Framing},
    interim::Turn,
    refusal::Refusal,
};

/// Idle connections are closed after this time, before the origin closes them: five seconds is a common limit.
const IDLE: Duration = Duration::from_secs(4);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The origin, reached through a connection pool.
#[derive(Debug)]
pub(crate) struct Origin<B> {
    client: Client<HttpConnector, B>,
    url: OriginUrl,
    timeout: Duration,
}

impl<B> Origin<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// `timeout` covers connecting and receiving the head of the response.
    pub(crate) fn new(url: OriginUrl, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self {
            client,
            url,
            timeout,
        }
    }

    async fn forward(self, request: Request<B>) -> Result<Response<Incoming>, Refusal> {
        let method = request.method().clone();
        let request = self.outgoing(request);
        let response = match time::timeout(self.timeout, self.client.request(request)).await {
            Err(_elapsed) => return Err(Refusal::Late),
            Ok(Err(error)) => return Err(refusal(&error)),
            Ok(Ok(response)) => response,
        };
        let (mut head, body) = response.into_parts();
        incoming(&mut head, &method)?;
        Ok(Response::from_parts(head, body))
    }

    /// The request to send to the origin.
    fn outgoing(&self, request: Request<B>) -> Request<B> {
        let (received, body) = request.into_parts();
        let mut request = Request::new(body);
        *request.method_mut() = received.method.clone();
        *request.uri_mut() = self.url.join(received.uri.clone());
        if let Some(turn) = received.extensions.get::<Turn>().cloned() {
            hyper::ext::on_informational(&mut request, move |interim| {
                turn.send(interim.status(), interim.headers().clone());
            });
        }
        *request.headers_mut() = fields_of(received);
        let sized = request.headers().contains_key(header::CONTENT_LENGTH)
            || request.body().size_hint().exact().is_some();
        if !sized {
            // hyper assumes that a GET without it has no body.
            request.headers_mut().insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
        request
    }
}

/// The header fields to send to the origin.
fn fields_of(received: request::Parts) -> http::HeaderMap {
    let mut fields = received.headers;
    if fields.contains_key(header::TE) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(client) = received.extensions.get::<SocketAddr>() {
        fields::add_forwarded_for(&mut fields, client.ip());
    }
    fields::join_cookies(&mut fields);
    fields::add_via(&mut fields, received.version);
    fields
}

/// Prepares the head of a response for clients and for the cache.
fn incoming(head: &mut response::Parts, method: &Method) -> Result<(), Refusal> {
    let no_body = method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED;
    let framing = fields::framing(&head.headers);
    if head.status.is_informational() || (framing == Framing::Unknown && !no_body) {
        return Err(Refusal::Malformed);
    }
    fields::remove_hop_by_hop(&mut head.headers);
    authentication::remove_challenges(&mut head.headers);
    head.headers.remove(header::CONTENT_LENGTH);
    if let Framing::Length(length) = framing {
        head.headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    fields::add_via(&mut head.headers, head.version);
    fields::add_date(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(())
}

fn refusal(error: &hyper_util::client::legacy::Error) -> Refusal {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the origin did not respond"
    );
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<hyper::Error>());
    match source {
        // The request body could not be read.
        Some(error) if error.is_user() => Refusal::Content,
        Some(error) if error.is_parse() => Refusal::Malformed,
        _ => Refusal::Unreachable,
    }
}

impl<B> Clone for Origin<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            url: self.url.clone(),
            timeout: self.timeout,
        }
    }
}

impl<B> Service<Request<B>> for Origin<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<Incoming>;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Refusal>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let origin = self.clone();
        Box::pin(origin.forward(request))
    }
}

/// The origin's URL: `http`, a host and an optional port.
#[derive(Clone, Debug)]
pub(crate) struct OriginUrl(Authority);

impl OriginUrl {
    fn join(&self, target: Uri) -> Uri {
        let mut parts = target.into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.0.clone());
        Uri::from_parts(parts).expect("the gate admits only targets with a path")
    }
}

impl FromStr for OriginUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not of the form http://HOST[:PORT]");
        let parts = text.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        match parts.authority {
            Some(authority)
                if bare
                    && parts.scheme == Some(Scheme::HTTP)
                    && !authority.as_str().contains('@') =>
            {
                Ok(Self(authority))
            }
            _ => Err(wrong()),
        }
    }
}

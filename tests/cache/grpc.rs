//! gRPC methods that read: only calls that have succeeded are stored.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tower_keep::{Keep, Route, Scope, Table, cache::Cache, table::Grpc};

use crate::common::{
    client::{TestResponse, advance, send},
    keeps::new_keep,
    origin::{Origin, OriginError, OriginResult, cached},
};

const PATH: &str = "/engagements.Engagements/Get";
const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

fn keep() -> Keep {
    keep_with(|route| route)
}

fn keep_with(change: impl FnOnce(Route) -> Route) -> Keep {
    let route = Route::new(PATH)
        .key("engagement:{#body}")
        .scope(Scope::Public)
        .grpc(Grpc::Read);
    new_keep(Table::new().route(change(route)))
}

/// The parts of a gRPC response that the tests vary.
#[derive(Clone)]
struct Reply {
    head: Vec<(&'static str, String)>,
    content: Vec<u8>,
    trailers: Option<Vec<(&'static str, String)>>,
}

impl Reply {
    fn new() -> Self {
        Self {
            head: vec![("content-type", "application/grpc".to_owned())],
            content: MESSAGE.to_vec(),
            trailers: Some(vec![("grpc-status", "0".to_owned())]),
        }
    }

    fn head(mut self, name: &'static str, value: &str) -> Self {
        self.head.retain(|(given, _)| *given != name);
        self.head.push((name, value.to_owned()));
        self
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.content = content.to_vec();
        self
    }

    fn trailers(mut self, status: Option<&str>) -> Self {
        self.trailers = status.map(|status| vec![("grpc-status", status.to_owned())]);
        self
    }

    fn into_response(self) -> OriginResult {
        let fields = |fields: Vec<(&'static str, String)>| -> HeaderMap {
            let field = |(name, value): (&'static str, String)| {
                let value = HeaderValue::try_from(value).expect("a value");
                (HeaderName::from_static(name), value)
            };
            fields.into_iter().map(field).collect()
        };
        let content = (!self.content.is_empty()).then(|| Frame::data(Bytes::from(self.content)));
        let trailers = self
            .trailers
            .map(|trailers| Frame::trailers(fields(trailers)));
        let frames = content
            .into_iter()
            .chain(trailers)
            .map(Ok::<_, OriginError>);
        let frames: Vec<_> = frames.collect();
        let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
        *response.headers_mut() = fields(self.head);
        Ok(response)
    }
}

/// The first call gets the first reply, and so on; the last one answers all later calls.
fn origin(replies: Vec<Reply>) -> Origin {
    Origin::from_fn(move |_, call| {
        let reply = replies[call.min(replies.len()) - 1].clone();
        std::future::ready(reply.into_response())
    })
}

fn call(content: &'static [u8], fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::post(PATH)
        .header("te", "trailers")
        .body(Full::from(content))
        .expect("a request");
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        headers.insert(name, value.parse().expect("a value"));
    }
    request
}

async fn ask(service: &Cache<Origin>) -> TestResponse {
    send(service, call(MESSAGE, &[])).await
}

/// How many calls two requests make, one after the other.
async fn calls_of_two(reply: Reply) -> usize {
    let origin = origin(vec![reply]);
    let service = cached(&keep(), &origin);
    ask(&service).await;
    ask(&service).await;
    origin.calls()
}

/// One error was stored and answered everybody for the table's TTL, also to callers with valid tokens.
#[tokio::test]
async fn only_status_0_is_stored() {
    assert_eq!(calls_of_two(Reply::new()).await, 1);
    let status_in_head = Reply::new().head("grpc-status", "0").trailers(None);
    assert_eq!(calls_of_two(status_in_head).await, 1);
    for code in 1..=17 {
        let code = code.to_string();
        let in_trailers = Reply::new().trailers(Some(&code));
        assert_eq!(calls_of_two(in_trailers).await, 2, "{code} in the trailers");
        let in_head = Reply::new().head("grpc-status", &code).trailers(None);
        assert_eq!(calls_of_two(in_head.clone()).await, 2, "{code} in the head");
        let without_content = in_head.content(b"");
        assert_eq!(calls_of_two(without_content).await, 2, "{code} alone");
    }
}

#[tokio::test]
async fn an_incomplete_or_streamed_response_is_not_stored() {
    for (what, reply) in [
        ("no trailers", Reply::new().trailers(None)),
        ("no message", Reply::new().content(b"")),
        ("half a message", Reply::new().content(&MESSAGE[..6])),
        (
            "two messages",
            Reply::new().content(&[MESSAGE, MESSAGE].concat()),
        ),
        ("no gRPC", Reply::new().head("content-type", "text/html")),
    ] {
        assert_eq!(calls_of_two(reply).await, 2, "{what}");
    }
}

#[tokio::test]
async fn a_streamed_request_passes() {
    let origin = origin(vec![Reply::new()]);
    let service = cached(&keep(), &origin);
    for content in [&b"\0\0\0\0\x01a\0\0\0\0\x01b"[..], b"", b"\0\0\0\0\x09a"] {
        for _ in 0..2 {
            let response = send(&service, call(content, &[])).await;
            assert!(
                response.cache_status().ends_with("detail=grpc-not-unary"),
                "{}",
                response.cache_status()
            );
        }
    }
    assert_eq!(origin.calls(), 6);
}

/// Whatever the deadline is; but not a caller that could not decode the response.
#[tokio::test]
async fn callers_share_a_response_only_with_the_same_encoding_and_codec() {
    let origin = origin(vec![Reply::new()]);
    let service = cached(&keep(), &origin);
    let calls = async |fields: &[(&str, &str)]| {
        send(&service, call(MESSAGE, fields)).await;
        origin.calls()
    };
    assert_eq!(calls(&[("grpc-timeout", "1S")]).await, 1);
    assert_eq!(calls(&[("grpc-timeout", "2S")]).await, 1);
    assert_eq!(calls(&[("content-type", "application/grpc+json")]).await, 2);
    assert_eq!(calls(&[("grpc-encoding", "gzip")]).await, 3);
    assert_eq!(calls(&[("grpc-accept-encoding", "identity,gzip")]).await, 4);
    assert_eq!(
        calls(&[("grpc-accept-encoding", "gzip, identity")]).await,
        4
    );
    assert_eq!(calls(&[]).await, 4);
    let compressed = call(b"\x01\0\0\0\x02hi", &[]);
    send(&service, compressed).await;
    assert_eq!(origin.calls(), 5);
}

/// An error of the server took the place of the good response.
#[tokio::test(start_paused = true)]
async fn a_stale_response_replaces_an_error_of_the_server() {
    let failing = |code| {
        Reply::new()
            .head("grpc-status", code)
            .content(b"")
            .trailers(None)
    };
    for (code, is_replaced) in [("14", true), ("13", true), ("4", true), ("16", false)] {
        let origin = origin(vec![Reply::new(), failing(code), Reply::new()]);
        let keep = keep_with(|route| {
            route
                .ttl(std::time::Duration::from_secs(60))
                .stale_if_error(std::time::Duration::from_secs(600))
        });
        let service = cached(&keep, &origin);
        ask(&service).await;
        advance(120).await;
        let response = ask(&service).await;
        assert_eq!(response.body.len() == MESSAGE.len(), is_replaced, "{code}");
        assert_eq!(origin.calls(), 2);
        advance(10).await;
        assert_eq!(ask(&service).await.body.len(), MESSAGE.len(), "{code}");
        assert_eq!(origin.calls(), 3);
    }
}

#[tokio::test]
async fn an_error_is_not_stored_on_paths_without_a_grpc_route_either() {
    let route = Route::new(PATH).key("engagement:all").scope(Scope::Public);
    for (reply, calls) in [
        (Reply::new().trailers(Some("5")), 2),
        (Reply::new().head("grpc-status", "5"), 2),
        (Reply::new(), 1),
    ] {
        let origin = origin(vec![reply.head("cache-control", "max-age=60")]);
        let service = cached(&new_keep(Table::new().route(route.clone())), &origin);
        for _ in 0..2 {
            send(
                &service,
                Request::get(PATH).body(Full::default()).expect("a request"),
            )
            .await;
        }
        assert_eq!(origin.calls(), calls);
    }
}

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::super::answer::{PendingRead, answer};
use crate::{
    CacheLayer, Keep, Route, Scope, Table, UserId,
    engine::{core::Engine, required_position::RequiredPosition},
    message::{ResponseBody, http_service::HttpService},
    store::{
        contracts::queue::{
            AttemptEnd, AttemptOutcome, Claim, ClaimTerms, Coalescing, FirstWrite, NewWrite,
            Pushed, Queue, QueueBounds, Retention,
        },
        position::Position,
    },
    table::{PendingMode, Write},
    write_queue::{Durability, WriteId, request::QueuedRequest},
};

pub(super) const KEY: &str = "item:1";

pub(super) type Body = Full<Bytes>;

/// What the service answers, and what it was asked.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) reply: Mutex<(u16, HeaderMap, Bytes)>,
    pub(super) asked: Mutex<Vec<(HeaderMap, Option<RequiredPosition>)>>,
}

impl Origin {
    pub(super) fn calls(&self) -> usize {
        self.asked.lock().expect("whole").len()
    }

    /// Answers with JSON from now on.
    pub(super) fn set_json(&self, content: &'static str) {
        self.set(200, &[("content-type", "application/json")], content);
    }

    pub(super) fn set(&self, status: u16, fields: &[(&'static str, &str)], content: &'static str) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        *self.reply.lock().expect("whole") = (status, headers, content.into());
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let required = RequiredPosition::of(request.extensions());
        let asked = (request.headers().clone(), required);
        self.asked.lock().expect("whole").push(asked);
        let (status, headers, content) = self.reply.lock().expect("whole").clone();
        let mut response = Response::new(Full::from(content));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        *response.headers_mut() = headers;
        response
    }

    pub(super) fn service(
        self: &Arc<Self>,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let origin = Arc::clone(self);
        service_fn(move |request| {
            let response = origin.answer(&request);
            async move { Ok(response) }
        })
    }
}

/// A response as text.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) content: String,
}

impl Reply {
    pub(super) async fn read<R>(response: Response<ResponseBody<R>>) -> Self
    where
        R: crate::message::http_service::ServiceBody,
    {
        let (head, body) = response.into_parts();
        let content = body.collect().await.expect("a body").to_bytes();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            content: String::from_utf8(content.into()).expect("text"),
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `detail` that this layer adds.
    pub(super) fn detail(&self) -> Option<&str> {
        let last = self.headers.get_all("cache-status").iter().next_back()?;
        let detail = last.to_str().ok()?.split("; detail=").nth(1)?;
        detail.starts_with("pending").then_some(detail)
    }
}

/// A keep whose route `/items/{id}` shows pending writes, and a service with a cache.
pub(super) struct Scene {
    pub(super) keep: Keep,
    pub(super) origin: Arc<Origin>,
    cached: BoxCloneSyncService<Request<Body>, Response<ResponseBody<Body>>, Infallible>,
}

pub(super) fn route(mode: PendingMode) -> Route {
    Route::new("/items/{id}")
        .key("item:{id}")
        .scope(Scope::Public)
        .ttl(Duration::from_secs(60))
        .write(Write::Behind)
        .pending(mode)
}

impl Scene {
    pub(super) fn new(route: Route) -> Self {
        let keep = Keep::new(Table::new().route(route)).expect("a valid table");
        let origin = Arc::<Origin>::default();
        origin.set_json("[]");
        let cached = CacheLayer::new(&keep).layer(origin.service());
        Self {
            keep,
            cached: BoxCloneSyncService::new(cached),
            origin,
        }
    }

    fn queue(&self) -> &dyn Queue {
        &*self.keep.engine().queue
    }

    /// Accepts a write.
    pub(super) async fn accept(&self, write: QueuedRequest) -> WriteId {
        push(self.queue(), &write, Coalescing::Never).await
    }

    /// Ends the first write of the key.
    pub(super) async fn end(&self, position: Position) {
        end_first(self.queue(), position).await;
    }

    /// A GET by this user.
    pub(super) async fn get(&self, user: Option<&str>) -> Reply {
        self.send(user, Request::get("/items/1")).await
    }

    pub(super) async fn send(&self, user: Option<&str>, request: http::request::Builder) -> Reply {
        send_to(self.keep.engine(), self.cached.clone(), user, request).await
    }
}

/// Sends a request of this user, through what shows pending writes if that applies, to `inner`.
pub(super) async fn send_to<S>(
    engine: &Arc<Engine>,
    inner: S,
    user: Option<&str>,
    request: http::request::Builder,
) -> Reply
where
    S: HttpService<Body, ServiceError = Infallible>,
{
    let mut request = request.body(Body::default()).expect("a request");
    request.extensions_mut().extend(user_extension(user));
    let (parts, body) = request.into_parts();
    let read = PendingRead::of(engine, &engine.snapshot.load(), &parts);
    let request = Request::from_parts(parts, body);
    let Ok(response) = match read {
        Some(read) => answer(read, inner, request).await,
        None => inner
            .oneshot(request)
            .await
            .map(|inner| inner.map(ResponseBody::inner)),
    };
    Reply::read(response).await
}

pub(super) fn user_extension(user: Option<&str>) -> Extensions {
    let mut extensions = Extensions::new();
    if let Some(user) = user {
        extensions.insert(UserId::new(user));
    }
    extensions
}

/// A write of `/items/1` by alice, with JSON.
pub(super) fn write(method: Method, body: &'static str) -> QueuedRequest {
    QueuedRequest {
        key: KEY.into(),
        route: "/items/{id}".into(),
        method,
        uri: Uri::from_static("/items/1"),
        host: None,
        headers: HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]),
        body: body.into(),
        user: Some("alice".into()),
        is_vouched: false,
        targets: Vec::new(),
    }
}

pub(super) async fn push(
    queue: &dyn Queue,
    write: &QueuedRequest,
    coalescing: Coalescing,
) -> WriteId {
    push_record(queue, write.encode(), coalescing).await
}

pub(super) async fn push_record(
    queue: &dyn Queue,
    request: Bytes,
    coalescing: Coalescing,
) -> WriteId {
    let write = NewWrite {
        id: WriteId::random(queue.partition_of(KEY)).expect("random numbers"),
        key: KEY.into(),
        user: Some("alice".into()),
        idempotency: None,
        coalescing,
        request,
    };
    let bounds = QueueBounds {
        max_queue: 1000,
        max_bytes: 1 << 30,
        max_per_key: 1000,
        retention: RETENTION,
        durability: Durability::Memory,
    };
    let pushed = queue.push(&write, &bounds).await.expect("pushes");
    assert!(matches!(pushed, Pushed::Accepted(_)), "{pushed:?}");
    write.id
}

/// Applies the first write of the key.
pub(super) async fn end_first(queue: &dyn Queue, position: Position) {
    let pending = queue.ask(KEY).await.expect("pending writes");
    let first = FirstWrite {
        key: KEY.into(),
        id: pending.ids[0],
    };
    let terms = ClaimTerms {
        token: fastrand::u64(1..1 << 50),
        lease: Duration::from_secs(60),
        attempts: 25,
        max_age: Duration::from_secs(60),
    };
    let Claim::Claimed(claimed) = queue.claim(&first, &terms).await.expect("claims") else {
        panic!("nothing to claim");
    };
    let end = AttemptEnd {
        outcome: AttemptOutcome::Done,
        position,
        reason: None,
        answer: None,
    };
    let ended = queue.end(&claimed.token, &end, &RETENTION).await;
    assert!(ended.expect("ends"));
}

const RETENTION: Retention = Retention {
    result: Duration::from_secs(60),
    idempotency: Duration::ZERO,
    max_dead: 10,
    max_dead_bytes: 1 << 20,
    dead_age: Duration::from_secs(60),
};

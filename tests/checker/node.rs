//! A node: a server process with both layers over the database, which reports the invalidations that it
//! applies.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env,
    error::Error,
    fmt::Debug,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Key, RedisStore, Table,
    keep::{Invalidation, ValueEntry},
};

use super::{
    database,
    undelivered::Undelivered,
    world::{KINDS, LONGEST_WRITE_MILLIS, OF_GROUP, View, WriteKind, table},
};
use crate::common::{clock, node_process::LISTENING};

/// The addresses of Redis and of the database, and the lines of `[store]`. A process with this
/// variable is a node.
pub(super) const SETTINGS: &str = "KEEP_CHECKER_NODE";

#[test]
#[ignore = "the checker starts it, as a process of its own"]
fn process() {
    let Ok(settings) = env::var(SETTINGS) else {
        return;
    };
    let (addresses, store) = settings.split_once('\n').expect("lines");
    let (redis, database) = addresses.split_once(' ').expect("two addresses");
    let database = database.parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(serve(redis, database, store))
        .expect("it serves until it is killed");
}

type Body = BoxBody<Bytes, Infallible>;

/// The body of a request, from a client or from the node itself.
type Content = BoxBody<Bytes, hyper::Error>;

/// Sends one GET through the layers, without a connection.
type Inside = Box<dyn Fn(String) -> BoxFuture<'static, String> + Send + Sync>;

#[derive(Clone)]
struct Node {
    keep: Keep,
    database: SocketAddr,
    applied: Arc<Mutex<Vec<String>>>,
    inside: Arc<OnceLock<Inside>>,
    /// Requests of the node itself that are in progress, and the number of reads of the handler.
    waiting: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

async fn serve(redis: &str, database: SocketAddr, store: &str) -> Result<(), Box<dyn Error>> {
    let undelivered = Undelivered::install();
    let table = Table::from_toml(&table(store))?;
    let keep = Keep::with_store(table, RedisStore::connect(redis).await?).await?;
    let node = Node {
        keep: keep.clone(),
        database,
        applied: Arc::default(),
        inside: Arc::default(),
        waiting: Arc::default(),
        reads: Arc::default(),
    };
    tokio::spawn(listen(node.clone()));

    let inside = Arc::clone(&node.inside);
    let handler = service_fn(move |request: Request<Content>| {
        let node = node.clone();
        async move { Ok::<_, Infallible>(node.handle(request).await) }
    });
    let layers = ServiceBuilder::new()
        .layer(
            InvalidateLayer::new(&keep).longest_write(Duration::from_millis(LONGEST_WRITE_MILLIS)),
        )
        .layer(CacheLayer::new(&keep))
        .service(handler);
    let _ = inside.set(through(layers.clone()));
    let service = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(BodyExt::boxed))
        .map_response(move |mut response: Response<_>| {
            let count = undelivered.count();
            response
                .headers_mut()
                .insert("x-undelivered", HeaderValue::from(count));
            response
        })
        .service(layers);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{LISTENING}{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        // A client that leaves is not an error.
        tokio::spawn(async move { connection.await.ok() });
    }
}

fn through<S, R>(service: S) -> Inside
where
    S: Service<Request<Content>, Response = Response<R>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    R: http_body::Body<Data = Bytes, Error: Debug> + Send,
{
    Box::new(move |path| {
        let service = service.clone();
        Box::pin(async move {
            let content = Empty::new().map_err(|never: Infallible| match never {});
            let request = Request::get(path).body(content.boxed()).expect("a path");
            let Ok(response) = service.oneshot(request).await;
            let whole = response.into_body().collect().await.expect("to the end");
            String::from_utf8_lossy(&whole.to_bytes()).trim().to_owned()
        })
    })
}

/// Records when this process has applied the invalidations of which writes.
async fn listen(node: Node) {
    let mut invalidations = node.keep.invalidations();
    while let Some(invalidation) = invalidations.next().await {
        let name = invalidation.to_string();
        if let Some((_, token)) = name.rsplit_once("write:") {
            // Groups belong to hosts.
            let token = token.split('@').next().unwrap_or_default();
            // The event comes while the invalidation is applied; a read of the position waits for it.
            let _ = node.keep.mark();
            let line = format!("{token} {}", clock::now());
            node.applied
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    }
}

impl Node {
    async fn handle<B>(self, request: Request<B>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let outcome = match (request.method(), &*segments) {
            (&Method::GET, ["applied"]) => Ok(self.applied_since_last_call()),
            (&Method::GET, ["storm", count, path @ ..]) => {
                Ok(self.storm(number(count), &path.join("/")).await)
            }
            (&Method::GET, ["storming"]) => Ok(self.storming()),
            (&Method::GET, ["brief", group, own]) => self.brief(item(group, own)).await,
            (&Method::GET, ["groups", group]) => self.list(number(group)).await,
            (&Method::GET, ["groups", group, "items", own]) => self.item(item(group, own)).await,
            (&Method::GET, ["through" | "answered", group, own]) => {
                self.whole(item(group, own)).await
            }
            (&Method::GET, ["values", group, own]) => {
                self.value(View::Value(item(group, own))).await
            }
            (&Method::GET, ["boards", group, own]) => {
                self.value(View::Board(item(group, own))).await
            }
            (
                &Method::PUT,
                ["groups", group, "items", own] | ["declared" | "through" | "answered", group, own],
            ) => {
                self.write(item(group, own), parameter(&query, "write"))
                    .await
            }
            (&Method::PUT, ["app", group, own]) => {
                self.by_application(item(group, own), &query).await
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        outcome.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Returns the invalidations applied since the last call.
    fn applied_since_last_call(&self) -> Response<Body> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        text(std::mem::take(&mut *applied).join("\n"))
    }

    /// Sends so many concurrent requests and returns each response with its count.
    async fn storm(self, count: usize, path: &str) -> Response<Body> {
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let (node, path) = (self.clone(), format!("/{path}"));
            requests.spawn(async move {
                node.waiting.fetch_add(1, Ordering::SeqCst);
                let response = node.inside.get().expect("set before it serves")(path).await;
                node.waiting.fetch_sub(1, Ordering::SeqCst);
                response
            });
        }
        let mut responses: BTreeMap<String, usize> = BTreeMap::new();
        for response in requests.join_all().await {
            *responses.entry(response).or_default() += 1;
        }
        let responses = responses
            .iter()
            .map(|(response, count)| format!("{count} x {response}"));
        text(responses.collect::<Vec<_>>().join(", "))
    }

    fn storming(&self) -> Response<Body> {
        let counts = [&self.waiting, &self.reads].map(|count| count.load(Ordering::SeqCst));
        text(format!("{} {}", counts[0], counts[1]))
    }

    async fn read(&self, view: View) -> io::Result<String> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let items: Vec<String> = view.items().iter().map(ToString::to_string).collect();
        database::ask(self.database, &format!("R {}", items.join(" "))).await
    }

    async fn list(&self, group: usize) -> io::Result<Response<Body>> {
        Ok(text(self.read(View::List(group)).await?))
    }

    async fn whole(&self, item: usize) -> io::Result<Response<Body>> {
        Ok(text(self.read(View::Item(item)).await?))
    }

    /// The first version expires soon and cannot be served afterwards.
    async fn brief(&self, item: usize) -> io::Result<Response<Body>> {
        let version = self.read(View::Item(item)).await?;
        let age = if version == "0" { 1 } else { 600 };
        let directives = format!("max-age={age}, must-revalidate").parse();
        let mut response = text(version);
        response
            .headers_mut()
            .insert("cache-control", directives.map_err(io::Error::other)?);
        Ok(response)
    }

    /// In two chunks, so that others can follow in between.
    async fn item(&self, item: usize) -> io::Result<Response<Body>> {
        let version = self.read(View::Item(item)).await?;
        let pieces = [Bytes::from(version), Bytes::from_static(b"\n")];
        let pieces = stream::unfold(pieces.into_iter().enumerate(), |mut pieces| async move {
            let (index, piece) = pieces.next()?;
            if index > 0 {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..25))).await;
            }
            Some((Ok(Frame::data(piece)), pieces))
        });
        let pieces: Pin<Box<dyn stream::Stream<Item = _> + Send + Sync>> = Box::pin(pieces);
        Ok(Response::new(BodyExt::boxed(StreamBody::new(pieces))))
    }

    async fn value(&self, view: View) -> io::Result<Response<Body>> {
        let group = view.items()[0] / OF_GROUP;
        let entry = self.keep.entry(key(view)).tag(format!("group-{group}"));
        let (value, made) = if matches!(view, View::Value(_)) && fastrand::bool() {
            self.set_by_hand(&entry, view).await?
        } else {
            let made = AtomicBool::new(false);
            let value: String = entry
                .get_or_set(async || {
                    made.store(true, Ordering::Relaxed);
                    self.read(view).await
                })
                .await
                .map_err(io::Error::other)?;
            (value, made.into_inner())
        };
        let mut response = text(value);
        let source = if made { "made" } else { "hit or collapsed" };
        response
            .headers_mut()
            .insert("x-value", HeaderValue::from_static(source));
        Ok(response)
    }

    /// Without a lock: several processes may do it at the same time.
    async fn set_by_hand(&self, entry: &ValueEntry, view: View) -> io::Result<(String, bool)> {
        if let Some(value) = entry.get().await.map_err(io::Error::other)? {
            return Ok((value, false));
        }
        let mark = self.keep.mark();
        let value = self.read(view).await?;
        entry.set_at(mark, &value).await.map_err(io::Error::other)?;
        Ok((value, true))
    }

    async fn write(&self, item: usize, token: &str) -> io::Result<Response<Body>> {
        let version = database::ask(self.database, &format!("W {token} {item}")).await?;
        let mut response = text(version);
        let group = format!("\"write:{token}\"").parse();
        response
            .headers_mut()
            .insert("cache-group-invalidation", group.map_err(io::Error::other)?);
        Ok(response)
    }

    /// In a task of its own, as the documentation recommends.
    async fn by_application(self, item: usize, query: &str) -> io::Result<Response<Body>> {
        let how = WriteKind::parse(parameter(query, "how")).ok_or(io::ErrorKind::InvalidInput)?;
        let token = parameter(query, "write").to_owned();
        let own = Invalidation::key(&raw(&format!("write:{token}")));
        let work = async move {
            let changes = changes(how, item).into_iter().chain([own]);
            if how == WriteKind::Around {
                return self.keep.write(changes, self.write(item, &token)).await;
            }
            let response = self.write(item, &token).await?;
            if how == WriteKind::Versions {
                for entity in ENTITIES {
                    // Retries until the store has it.
                    let _ = self.keep.bump_version(entity).await;
                }
            }
            let _ = self.keep.invalidate(changes).await;
            Ok(response)
        };
        tokio::spawn(work).await?
    }
}

const ENTITIES: [&str; 6] = ["item", "group", "value", "board", "through", "answered"];

fn changes(how: WriteKind, item: usize) -> Vec<Invalidation> {
    let (group, own) = (item / OF_GROUP, item % OF_GROUP);
    let patterns = |patterns: &[String]| {
        let named = patterns
            .iter()
            .map(|pattern| Invalidation::pattern(pattern));
        named.collect::<Result<Vec<_>, _>>().expect("patterns")
    };
    match how {
        WriteKind::Tag => vec![Invalidation::tag(format!("group-{group}"))],
        WriteKind::Patterns => patterns(&[
            format!("item:{group}:*"),
            format!("group:{group}*"),
            format!("value:{group}:*"),
            format!("board:*:{own}:view"),
            format!("through:{group}:*"),
            format!("answered:{group}*"),
        ]),
        WriteKind::Entities => ENTITIES.map(Invalidation::entity).into(),
        WriteKind::Everything => vec![Invalidation::everything()],
        WriteKind::Versions => Vec::new(),
        WriteKind::Route
        | WriteKind::Declared
        | WriteKind::Through
        | WriteKind::Answered
        | WriteKind::Keys
        | WriteKind::Around => {
            let views = (0..KINDS).map(|choice| View::of(item, choice));
            views.map(|view| Invalidation::key(&key(view))).collect()
        }
    }
}

fn key(view: View) -> Key {
    let named =
        |entity: &str, item: usize| format!("{entity}:{}:{}", item / OF_GROUP, item % OF_GROUP);
    raw(&match view {
        View::Item(item) => named("item", item),
        View::List(group) => format!("group:{group}:list"),
        View::Value(item) => named("value", item),
        View::Board(item) => named("board", item) + ":view",
        View::Through(item) => named("through", item),
        View::Answered(item) => named("answered", item),
    })
}

fn raw(text: &str) -> Key {
    Key::raw(text).expect("a key")
}

fn item(group: &str, own: &str) -> usize {
    number(group) * OF_GROUP + number(own)
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or(0)
}

fn parameter<'a>(query: &'a str, name: &str) -> &'a str {
    let parameters = query.split('&').filter_map(|part| part.split_once('='));
    parameters
        .filter(|(own, _)| *own == name)
        .map(|(_, value)| value)
        .next()
        .unwrap_or_default()
}

fn text(text: String) -> Response<Body> {
    Response::new(Full::from(text).boxed())
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = text(String::new());
    *response.status_mut() = status;
    response
}

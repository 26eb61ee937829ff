//! A keep, a queue whose replies can be lost, and a service that records its calls.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::{sync::oneshot, task::JoinHandle};
use tower::{service_fn, util::BoxCloneService};

use crate::{
    clock::Clock,
    error::{BoxError, Error},
    fence::{config::FenceConfig, core::Fence},
    keep::handle::Keep,
    key::purge::PurgeTarget,
    store::{
        contracts::{
            StoreFuture,
            journal::{AppendReply, AppendRequest, Feed, Journal, StatePage},
            queue::{
                AttemptEnd, Claim, ClaimTerms, ClaimToken, Coalescing, Due, FirstWrite, NewWrite,
                Pushed, Queue, QueueBounds, Retention, StoredStatus, forwarding::ForwardingQueue,
            },
        },
        memory::journal::MemoryJournal,
        position::Position,
    },
    support::until,
    table::{Behind, Route, Scope, Table, Write},
    write_behind::{Applying, Durability, WriteBehindWorker, WriteId, WriteState},
    write_queue::request::QueuedRequest,
};

pub(super) type TestService = BoxCloneService<Request<String>, Response<String>, BoxError>;
pub(super) type TestResponse = Result<Response<String>, BoxError>;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const LEASE: Duration = Duration::from_secs(3);

/// A keep with the route `/agents/{id}`, whose writes are queued.
pub(super) struct World {
    pub(super) keep: Keep,
    pub(super) queue: Arc<FaultyQueue>,
    pub(super) journal: Arc<FaultyJournal>,
    pub(super) calls: Arc<Calls>,
}

pub(super) fn table(behind: Behind) -> Table {
    Table::new()
        .host("*")
        .behind(behind.volatile(true).backoff(SECOND))
        .route(
            Route::new("/agents/{id}")
                .key("agent:{id}")
                .scope(Scope::Public)
                .write(Write::Behind),
        )
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(table(Behind::new())).await
    }

    pub(super) async fn with(table: Table) -> Self {
        let journal = Arc::new(FaultyJournal::default());
        let clock = Arc::new(Clock::tokio());
        let fence = Fence::new(
            Arc::clone(&journal) as _,
            Arc::clone(&clock),
            FenceConfig::default(),
        );
        fence.start(None).await;
        // A proof of freshness at time 0 counts as none.
        tokio::time::sleep(SECOND).await;
        let keep = Keep::with_fence(&table, clock, fence).expect("a valid table");
        let queue = Arc::new(FaultyQueue::new(Arc::clone(&keep.engine().queue)));
        Self {
            keep,
            queue,
            journal,
            calls: Arc::default(),
        }
    }

    /// Accepts a write with this content.
    pub(super) async fn push(&self, agent: &str, body: &str) -> WriteId {
        self.push_record(agent, request(agent, body).encode()).await
    }

    pub(super) async fn push_record(&self, agent: &str, record: Bytes) -> WriteId {
        push_to(&*self.queue.inner, agent, record).await
    }

    /// A worker whose service calls `handle` with the request and the number of its call.
    pub(super) fn worker<F>(
        &self,
        handle: impl Fn(Request<String>, usize) -> F + Send + Sync + 'static,
    ) -> WriteBehindWorker<TestService, String>
    where
        F: Future<Output = TestResponse> + Send + 'static,
    {
        let service = self.calls.service(handle);
        WriteBehindWorker::new(&self.keep, service)
            .request_body::<String>()
            .lease(LEASE)
    }

    pub(super) fn start(&self, worker: WriteBehindWorker<TestService, String>) -> RunningWorker {
        start_on(worker, Arc::clone(&self.queue) as _)
    }

    pub(super) async fn status(&self, id: WriteId) -> StoredStatus {
        let status = self.queue.inner.status(id).await;
        status.expect("in process").expect("a known write")
    }

    pub(super) async fn becomes(&self, id: WriteId, state: WriteState) -> StoredStatus {
        becomes(&*self.queue.inner, id, state).await
    }
}

pub(super) async fn becomes(queue: &dyn Queue, id: WriteId, state: WriteState) -> StoredStatus {
    let check = || async {
        // A busy machine may answer too late.
        let status = queue.status(id).await.ok()??;
        (status.state == state).then_some(status)
    };
    until(&format!("{state:?}"), check).await
}

pub(super) async fn push_to(queue: &dyn Queue, agent: &str, record: Bytes) -> WriteId {
    let key: Box<str> = format!("agent:{agent}").into();
    let id = WriteId::random(queue.partition_of(&key)).expect("random numbers");
    let write = NewWrite {
        id,
        key,
        user: Some("alice".into()),
        idempotency: None,
        coalescing: Coalescing::Never,
        request: record,
    };
    let bounds = QueueBounds {
        max_queue: 100_000,
        max_bytes: 1 << 30,
        max_per_key: 100_000,
        retention: Retention {
            result: 60 * SECOND,
            idempotency: 60 * SECOND,
            max_dead: 1000,
            max_dead_bytes: 1 << 20,
            dead_age: 3600 * SECOND,
        },
        durability: Durability::Memory,
    };
    // A push whose reply is late is found by its id.
    let push = || async { queue.push(&write, &bounds).await.ok() };
    match until("the push to be answered", push).await {
        Pushed::Accepted(None) => {}
        Pushed::Known(known, _) => assert_eq!(known, id),
        other => panic!("{other:?}"),
    }
    id
}

pub(super) fn request(agent: &str, body: &str) -> QueuedRequest {
    QueuedRequest {
        key: format!("agent:{agent}").into(),
        route: "/agents/{id}".into(),
        method: Method::PUT,
        uri: format!("/agents/{agent}").parse().expect("a URI"),
        host: Some("api.example.com".into()),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        user: Some("alice".into()),
        is_vouched: false,
        targets: vec![PurgeTarget::Key(format!("agent:{agent}").into())],
    }
}

pub(super) fn answer(status: u16) -> Response<String> {
    let mut response = Response::new("answer".to_owned());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

/// A worker in a task.
pub(super) struct RunningWorker {
    stop: Option<oneshot::Sender<()>>,
    pub(super) task: JoinHandle<()>,
}

pub(super) fn start_on(
    worker: WriteBehindWorker<TestService, String>,
    queue: Arc<dyn Queue>,
) -> RunningWorker {
    let (stop, stopped) = oneshot::channel();
    let shutdown = stopped.map(|_| ());
    RunningWorker {
        stop: Some(stop),
        task: tokio::spawn(worker.run_on(queue, shutdown)),
    }
}

impl RunningWorker {
    pub(super) fn begin_stop(&mut self) {
        self.stop = None;
    }

    pub(super) async fn stop(mut self) {
        self.begin_stop();
        self.join().await;
    }

    pub(super) async fn join(&mut self) {
        (&mut self.task).await.expect("a worker does not panic");
    }

    /// As if the process had died.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The calls of a service.
#[derive(Default)]
pub(super) struct Calls {
    /// Path, content and attempt of each call, in the order in which they began.
    made: Mutex<Vec<(String, String, u32)>>,
    /// The paths of the calls in progress.
    running: Mutex<HashMap<String, usize>>,
    /// Whether two calls of one path were in progress at the same time.
    overlapped: AtomicBool,
    pub(super) cancelled: AtomicUsize,
}

impl Calls {
    pub(super) fn service<F>(
        self: &Arc<Self>,
        handle: impl Fn(Request<String>, usize) -> F + Send + Sync + 'static,
    ) -> TestService
    where
        F: Future<Output = TestResponse> + Send + 'static,
    {
        let calls = Arc::clone(self);
        let handle = Arc::new(handle);
        BoxCloneService::new(service_fn(move |request: Request<String>| {
            let (running, number) = CallGuard::begin(&calls, &request);
            let handle = Arc::clone(&handle);
            async move {
                let result = handle(request, number).await;
                running.end();
                result
            }
        }))
    }

    /// The contents of the calls so far, in order.
    pub(super) fn bodies(&self) -> Vec<String> {
        let made = self.made.lock().expect("no panic");
        made.iter().map(|(_, body, _)| body.clone()).collect()
    }

    pub(super) fn bodies_of(&self, agent: &str) -> Vec<String> {
        let path = format!("/agents/{agent}");
        let made = self.made.lock().expect("no panic");
        let of_agent = made.iter().filter(|(called, ..)| *called == path);
        of_agent.map(|(_, body, _)| body.clone()).collect()
    }

    pub(super) fn attempts(&self) -> Vec<u32> {
        let made = self.made.lock().expect("no panic");
        made.iter().map(|(.., attempt)| *attempt).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.made.lock().expect("no panic").len()
    }

    pub(super) async fn reach(&self, count: usize) {
        let check = || async { (self.count() >= count).then_some(()) };
        until(&format!("{count} calls"), check).await;
    }

    pub(super) fn have_overlapped(&self) -> bool {
        self.overlapped.load(Ordering::Relaxed)
    }
}

struct CallGuard {
    calls: Arc<Calls>,
    path: String,
    has_ended: bool,
}

impl CallGuard {
    fn begin(calls: &Arc<Calls>, request: &Request<String>) -> (Self, usize) {
        let path = request.uri().path().to_owned();
        let applying = request.extensions().get::<Applying>();
        let attempt = applying.expect("an extension").attempt;
        let mut made = calls.made.lock().expect("no panic");
        made.push((path.clone(), request.body().clone(), attempt));
        let mut running = calls.running.lock().expect("no panic");
        let count = running.entry(path.clone()).or_default();
        *count += 1;
        if *count > 1 {
            calls.overlapped.store(true, Ordering::Relaxed);
        }
        let guard = Self {
            calls: Arc::clone(calls),
            path,
            has_ended: false,
        };
        (guard, made.len())
    }

    fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let mut running = self.calls.running.lock().expect("no panic");
        if let Some(count) = running.get_mut(&self.path) {
            *count -= 1;
        }
        if !self.has_ended && !std::thread::panicking() {
            self.calls.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A journal that can be unavailable.
#[derive(Debug)]
pub(super) struct FaultyJournal {
    pub(super) inner: MemoryJournal,
    pub(super) is_away: AtomicBool,
}

impl Default for FaultyJournal {
    fn default() -> Self {
        Self {
            inner: MemoryJournal::new(),
            is_away: AtomicBool::new(false),
        }
    }
}

impl FaultyJournal {
    pub(super) fn set_away(&self, away: bool) {
        self.is_away.store(away, Ordering::Relaxed);
    }

    pub(super) async fn has_declaration(&self) -> bool {
        let page = self.inner.sync(Position::UNKNOWN, 100).await;
        !page.expect("in process").open.is_empty()
    }

    fn check(&self) -> Result<(), Error> {
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(Error::unavailable("the journal is away")),
            false => Ok(()),
        }
    }
}

impl Journal for FaultyJournal {
    fn append<'a>(&'a self, request: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move {
            self.check()?;
            self.inner.append(request).await
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            self.check()?;
            self.inner.sync(from, page).await
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        self.inner.feed()
    }
}

/// A queue whose replies can be lost.
#[derive(Debug)]
pub(super) struct FaultyQueue {
    pub(super) inner: Arc<dyn Queue>,
    /// Of so many replies each last one is lost, although the queue has done what was asked; 0 for none.
    lose_each: AtomicUsize,
    requests: AtomicUsize,
    /// Renewals neither arrive nor are answered.
    hang_renewals: AtomicBool,
    /// Nothing arrives.
    is_away: AtomicBool,
}

impl FaultyQueue {
    pub(super) fn new(inner: Arc<dyn Queue>) -> Self {
        Self {
            inner,
            lose_each: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            hang_renewals: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
        }
    }

    pub(super) fn lose_each(&self, count: usize) {
        self.lose_each.store(count, Ordering::Relaxed);
    }

    pub(super) fn hang_renewals(&self, hang: bool) {
        self.hang_renewals.store(hang, Ordering::Relaxed);
    }

    pub(super) fn set_away(&self, away: bool) {
        self.is_away.store(away, Ordering::Relaxed);
    }

    fn reply<'a, T: Send + 'a>(&'a self, reply: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let error = || Error::unavailable("the queue does not answer");
            if self.is_away.load(Ordering::Relaxed) {
                return Err(error());
            }
            let reply = reply.await?;
            let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
            match self.lose_each.load(Ordering::Relaxed) {
                0 => Ok(reply),
                each if number.is_multiple_of(each) => Err(error()),
                _ => Ok(reply),
            }
        })
    }
}

impl ForwardingQueue for FaultyQueue {
    fn inner(&self) -> &dyn Queue {
        &*self.inner
    }

    fn due(&self, partition: u8, count: usize) -> StoreFuture<'_, Due> {
        self.reply(self.inner.due(partition, count))
    }

    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim> {
        self.reply(self.inner.claim(first, terms))
    }

    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool> {
        if self.hang_renewals.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        self.reply(self.inner.renew(claim, lease))
    }

    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool> {
        self.reply(self.inner.end(claim, end, retention))
    }
}

/// A call that does not end by itself.
pub(super) fn hang() -> BoxFuture<'static, TestResponse> {
    Box::pin(std::future::pending())
}

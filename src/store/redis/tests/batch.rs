//! Batched reads: each gets its own reply, and none waits for a batch that is never sent.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Waker},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::timeout,
};

use super::{Config, RedisClient, connect, get, set};
use crate::{
    error::{Error, Kind},
    support::{RedisServer, until},
};

const KEYS: usize = 600;

type Reply = Result<Option<String>, Error>;

/// A third of the keys hold their own name, a third are missing, and a third hold a list.
async fn fill(client: &RedisClient, server: &RedisServer) {
    for index in (0..KEYS).step_by(3) {
        let key = index.to_string();
        set(client, &key, &key).await.expect("set");
        server.command(&["RPUSH", &(index + 2).to_string(), "x"]);
    }
}

fn is_reply_to(index: usize, reply: &Reply) -> bool {
    match (index % 3, reply) {
        (0, Ok(Some(value))) => *value == index.to_string(),
        (1, Ok(None)) => true,
        (2, Err(error)) => error.kind() == Kind::Corrupt,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_gets_its_own_reply_while_others_are_cancelled() {
    let server = RedisServer::start();
    let client = connect(&server.url()).await;
    fill(&client, &server).await;
    let answered = AtomicUsize::new(0);
    for round in 0..20 {
        let reads = (0..KEYS).map(|index| {
            let (client, answered) = (client.clone(), &answered);
            let read = async move { get(&client, &index.to_string()).await };
            async move {
                let read = tokio::spawn(read);
                // Some are cancelled before, some after the batch was sent.
                if (index + round) % 5 == 0 {
                    for _ in 0..index % 4 {
                        tokio::task::yield_now().await;
                    }
                    read.abort();
                    return;
                }
                let reply = read.await.expect("no panic");
                assert!(is_reply_to(index, &reply), "{index}: {reply:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        join_all(reads).await;
    }
    assert_eq!(answered.into_inner(), 20 * KEYS * 4 / 5);
}

/// Regression: each read was sent as its own message.
#[tokio::test]
async fn concurrent_reads_are_sent_in_batches() {
    let server = RedisServer::start();
    let client = connect(&server.url()).await;
    let names: Vec<String> = (0..64).map(|index| index.to_string()).collect();
    let mut reads: Vec<_> = names
        .iter()
        .map(|name| Box::pin(get(&client, name)))
        .collect();
    poll(&mut reads);
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    for reply in join_all(reads).await {
        assert_eq!(reply.expect("a reply"), None);
    }
    // Each batch had a task, and none is left.
    let batches = before - tasks.num_alive_tasks();
    assert!((1..=4).contains(&batches), "{batches} batches");
}

fn poll<F: Future>(reads: &mut [Pin<Box<F>>]) {
    let mut context = Context::from_waker(Waker::noop());
    for read in reads {
        assert!(read.poll_unpin(&mut context).is_pending());
    }
}

/// Reads of one key over one connection: the first few were sent one by one, the others will be
/// batched. None is answered before [`all_are_answered`] is called.
async fn batched_reads(
    server: &RedisServer,
    deadline: Duration,
) -> (
    RedisClient,
    Vec<Pin<Box<impl Future<Output = Reply> + Send + use<>>>>,
) {
    let config = Config {
        connections: 1,
        deadline,
        ..Config::default()
    };
    let client = RedisClient::connect(&server.url(), config).await;
    let client = client.expect("connects");
    set(&client, "k", "v").await.expect("set");
    server.stop_signal();
    let mut reads: Vec<_> = (0..32)
        .map(|_| {
            let client = client.clone();
            Box::pin(async move { get(&client, "k").await })
        })
        .collect();
    poll(&mut reads[..4]);
    (client, reads)
}

/// No read waits longer than the deadline, and later reads are answered.
async fn all_are_answered(
    server: &RedisServer,
    client: &RedisClient,
    reads: Vec<impl Future<Output = Reply>>,
) {
    server.continue_signal();
    let replies = timeout(Duration::from_secs(10), join_all(reads)).await;
    for reply in replies.expect("no read hangs") {
        assert!(reply.map_or_else(|error| error.is_unavailable(), |value| value.is_some()));
    }
    until("the breaker to be closed", async || {
        client.healthy().then_some(())
    })
    .await;
    let again = join_all((0..32).map(|_| get(client, "k"))).await;
    assert!(again.into_iter().all(|reply| reply.is_ok()), "as before");
}

/// Polls the read that flushes the batch in a runtime that runs no tasks.
fn poll_in_idle_runtime<F: Future>(first: &mut [Pin<Box<F>>]) -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let inside = runtime.enter();
    poll(first);
    drop(inside);
    runtime
}

#[tokio::test]
async fn reads_are_answered_when_the_runtime_of_the_flush_shuts_down() {
    let server = RedisServer::start();
    let (client, mut reads) = batched_reads(&server, Duration::from_secs(60)).await;
    let mut others = reads.split_off(5);
    let runtime = poll_in_idle_runtime(&mut reads[4..]);
    poll(&mut others);
    runtime.shutdown_background();
    all_are_answered(&server, &client, others).await;
}

#[tokio::test]
async fn reads_are_answered_when_the_runtime_of_the_flush_is_busy() {
    let server = RedisServer::start();
    let (client, mut reads) = batched_reads(&server, Duration::from_millis(100)).await;
    let others = reads.split_off(5);
    let runtime = poll_in_idle_runtime(&mut reads[4..]);
    all_are_answered(&server, &client, others).await;
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_answered_when_the_worker_of_the_flush_is_busy() {
    let server = RedisServer::start();
    let (client, mut reads) = batched_reads(&server, Duration::from_millis(100)).await;
    let others = reads.split_off(5);
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let (begun, first) = oneshot::channel();
    let busy = tokio::spawn(async move {
        poll(&mut reads[4..]);
        begun.send(()).expect("the receiver waits");
        waits.recv_timeout(Duration::from_secs(30))
    });
    first.await.expect("the first was polled");
    let answered = async move {
        all_are_answered(&server, &client, others).await;
        done.send(()).expect("still busy");
    };
    tokio::spawn(answered).await.expect("no panic");
    busy.await.expect("no panic").expect("was busy until then");
}

//! Reads that go out together: each gets its own reply, and nobody waits for what never comes.

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

use super::{Config, Connections, connect, get, set};
use crate::{
    error::{Error, Kind},
    support::{RedisServer, until},
};

const KEYS: usize = 600;

type Reply = Result<Option<String>, Error>;

/// A third of the keys hold their own name, a third nothing, and a third no string.
async fn fill(connections: &Connections, server: &RedisServer) {
    for index in (0..KEYS).step_by(3) {
        let key = index.to_string();
        set(connections, &key, &key).await.expect("set");
        server.command(&["RPUSH", &(index + 2).to_string(), "x"]);
    }
}

fn is_its_own(index: usize, reply: &Reply) -> bool {
    match (index % 3, reply) {
        (0, Ok(Some(value))) => *value == index.to_string(),
        (1, Ok(None)) => true,
        (2, Err(error)) => error.kind() == Kind::Corrupt,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_gets_its_own_reply_whoever_leaves() {
    let server = RedisServer::start();
    let connections = connect(&server.url()).await;
    fill(&connections, &server).await;
    let answered = AtomicUsize::new(0);
    for round in 0..20 {
        let asked = (0..KEYS).map(|index| {
            let (connections, answered) = (connections.clone(), &answered);
            let ask = async move { get(&connections, &index.to_string()).await };
            async move {
                let asked = tokio::spawn(ask);
                // Some leave before, some after they were sent for.
                if (index + round) % 5 == 0 {
                    for _ in 0..index % 4 {
                        tokio::task::yield_now().await;
                    }
                    asked.abort();
                    return;
                }
                let reply = asked.await.expect("no panic");
                assert!(is_its_own(index, &reply), "{index}: {reply:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        join_all(asked).await;
    }
    assert_eq!(answered.into_inner(), 20 * KEYS * 4 / 5);
}

/// They were as many messages as commands before.
#[tokio::test]
async fn what_is_asked_for_at_once_goes_out_together() {
    let server = RedisServer::start();
    let connections = connect(&server.url()).await;
    let names: Vec<String> = (0..64).map(|index| index.to_string()).collect();
    let mut asked: Vec<_> = names
        .iter()
        .map(|name| Box::pin(get(&connections, name)))
        .collect();
    poll(&mut asked);
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    for reply in join_all(asked).await {
        assert_eq!(reply.expect("a reply"), None);
    }
    // A task for each batch, and none is left.
    let gathered = before - tasks.num_alive_tasks();
    assert!((1..=4).contains(&gathered), "{gathered} batches");
}

fn poll<F: Future>(asked: &mut [Pin<Box<F>>]) {
    let mut context = Context::from_waker(Waker::noop());
    for asked in asked {
        assert!(asked.poll_unpin(&mut context).is_pending());
    }
}

/// Reads of one key over one connection, of which the first few have gone alone and the others will
/// go together; none is answered before [`all_are_answered`] is called.
async fn asked_together(
    server: &RedisServer,
    deadline: Duration,
) -> (
    Connections,
    Vec<Pin<Box<impl Future<Output = Reply> + Send + use<>>>>,
) {
    let config = Config {
        connections: 1,
        deadline,
        ..Config::default()
    };
    let connections = Connections::connect(&server.url(), config).await;
    let connections = connections.expect("connects");
    set(&connections, "k", "v").await.expect("set");
    server.stop_signal();
    let mut asked: Vec<_> = (0..32)
        .map(|_| {
            let connections = connections.clone();
            Box::pin(async move { get(&connections, "k").await })
        })
        .collect();
    poll(&mut asked[..4]);
    (connections, asked)
}

/// None waits for more than the deadline, and all goes on as before.
async fn all_are_answered(
    server: &RedisServer,
    connections: &Connections,
    asked: Vec<impl Future<Output = Reply>>,
) {
    server.continue_signal();
    let replies = timeout(Duration::from_secs(10), join_all(asked)).await;
    for reply in replies.expect("nobody hangs") {
        assert!(reply.map_or_else(|error| error.is_unavailable(), |value| value.is_some()));
    }
    until("the breaker to be closed", async || {
        connections.healthy().then_some(())
    })
    .await;
    let again = join_all((0..32).map(|_| get(connections, "k"))).await;
    assert!(again.into_iter().all(|reply| reply.is_ok()), "as before");
}

/// Who comes first sees to the departure: here where nothing runs.
fn in_a_runtime_of_its_own<F: Future>(first: &mut [Pin<Box<F>>]) -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let inside = runtime.enter();
    poll(first);
    drop(inside);
    runtime
}

#[tokio::test]
async fn nobody_waits_for_a_runtime_that_is_gone() {
    let server = RedisServer::start();
    let (connections, mut asked) = asked_together(&server, Duration::from_secs(60)).await;
    let mut others = asked.split_off(5);
    let runtime = in_a_runtime_of_its_own(&mut asked[4..]);
    poll(&mut others);
    runtime.shutdown_background();
    all_are_answered(&server, &connections, others).await;
}

#[tokio::test]
async fn nobody_waits_for_a_runtime_that_is_busy() {
    let server = RedisServer::start();
    let (connections, mut asked) = asked_together(&server, Duration::from_millis(100)).await;
    let others = asked.split_off(5);
    let runtime = in_a_runtime_of_its_own(&mut asked[4..]);
    all_are_answered(&server, &connections, others).await;
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_worker_that_is_busy() {
    let server = RedisServer::start();
    let (connections, mut asked) = asked_together(&server, Duration::from_millis(100)).await;
    let others = asked.split_off(5);
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let (begun, first) = oneshot::channel();
    let busy = tokio::spawn(async move {
        poll(&mut asked[4..]);
        begun.send(()).expect("somebody waits");
        waits.recv_timeout(Duration::from_secs(30))
    });
    first.await.expect("the first has asked");
    let answered = async move {
        all_are_answered(&server, &connections, others).await;
        done.send(()).expect("still busy");
    };
    tokio::spawn(answered).await.expect("no panic");
    busy.await.expect("no panic").expect("was busy until then");
}

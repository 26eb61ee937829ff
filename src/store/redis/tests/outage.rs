//! Redis is away, slow, cut off or not there yet.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Config, Connections, connect, get, set};
use crate::support::{RedisServer, proxy::Proxy, until};

const DEADLINE: Duration = Duration::from_millis(100);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(900);

async fn impatient(url: &str) -> Connections {
    let config = Config {
        deadline: DEADLINE,
        ..Config::default()
    };
    Connections::connect(url, config).await.expect("connects")
}

async fn recovered(connections: &Connections) {
    let since = Instant::now();
    until("the breaker to close", || async {
        connections.healthy().then_some(())
    })
    .await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(2), "recovery took {took:?}");
    get(connections, "k").await.expect("answers again");
}

/// Sends until the breaker is open; nobody waits longer than the deadline.
async fn opened(connections: &Connections) {
    until("the breaker to open", || async {
        let asked = (0..64).map(|_| async {
            let since = Instant::now();
            let reply = get(connections, "k").await;
            (reply, since.elapsed())
        });
        for (reply, waited) in join_all(asked).await {
            assert!(reply.is_err_and(|error| error.is_unavailable()));
            assert!(waited < DEADLINE + SLACK, "waited {waited:?}");
        }
        (!connections.healthy()).then_some(())
    })
    .await;
}

async fn costs_nearly_nothing(connections: &Connections) {
    let since = Instant::now();
    for _ in 0..10_000 {
        get(connections, "k").await.expect_err("redis is away");
    }
    let took = since.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "10,000 requests took {took:?}"
    );
}

#[tokio::test]
async fn a_stopped_redis_costs_nothing_and_is_back_at_once() {
    let server = RedisServer::start();
    let connections = impatient(&server.url()).await;
    for _ in 0..2 {
        set(&connections, "k", "v").await.expect("set");
        server.stop_signal();
        opened(&connections).await;
        costs_nearly_nothing(&connections).await;
        server.continue_signal();
        recovered(&connections).await;
    }
}

#[tokio::test]
async fn a_slow_redis_is_given_up_and_taken_up_again() {
    let server = RedisServer::start();
    let connections = impatient(&server.url()).await;
    let port = server.port();
    let asleep = tokio::task::spawn_blocking(move || {
        crate::support::resp::command(port, &["DEBUG", "SLEEP", "1.5"])
    });
    until("a late answer", || async {
        get(&connections, "k").await.err()
    })
    .await;
    opened(&connections).await;
    asleep.await.expect("ends").expect("woke up");
    recovered(&connections).await;
}

#[tokio::test]
async fn a_killed_redis_comes_back_empty() {
    let mut server = RedisServer::start();
    let connections = impatient(&server.url()).await;
    set(&connections, "k", "v").await.expect("set");
    server.kill();
    opened(&connections).await;
    costs_nearly_nothing(&connections).await;
    server.restart();
    recovered(&connections).await;
    assert_eq!(get(&connections, "k").await.expect("asked"), None);
}

/// Killed and restarted while nobody asks: the first request must not pay for it.
#[tokio::test]
async fn a_restart_in_quiet_times_goes_unnoticed() {
    let mut server = RedisServer::start();
    let connections = connect(&server.url()).await;
    set(&connections, "k", "v").await.expect("set");
    server.restart();
    until("all connections to be made again", || async {
        let list = server.command(&["CLIENT", "LIST"]).text();
        let made = list.matches("cmd=ping").count();
        (made >= Config::default().connections && connections.healthy()).then_some(())
    })
    .await;
    get(&connections, "k").await.expect("answers");
    assert!(connections.healthy());
}

#[tokio::test]
async fn a_redis_that_is_not_there_yet_is_an_outage() {
    let mut server = RedisServer::start();
    server.kill();
    let connections = impatient(&server.url()).await;
    assert!(!connections.healthy());
    costs_nearly_nothing(&connections).await;
    server.restart();
    recovered(&connections).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_an_outage() {
    let connections = impatient("redis://redis.invalid:6379").await;
    assert!(!connections.healthy());
    costs_nearly_nothing(&connections).await;
}

#[tokio::test]
async fn a_reply_cut_in_the_middle_is_no_reply() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await.expect("listens");
    let connections = connect(&proxy.url()).await;
    let long = "x".repeat(200_000);
    set(&connections, "k", &long).await.expect("set");
    proxy.cut_after(100_000);
    let error = get(&connections, "k").await.expect_err("cut");
    assert!(error.is_unavailable(), "{error}");
    proxy.heal();
    let whole = || async { get(&connections, "k").await.ok().flatten() };
    assert_eq!(until("a new connection", whole).await, long);
}

#[tokio::test]
async fn a_loading_redis_is_an_outage() {
    let server = RedisServer::start();
    let connections = impatient(&server.url()).await;
    server.command(&["DEBUG", "POPULATE", "3000"]);
    server.command(&["CONFIG", "SET", "key-load-delay", "1000"]);
    server.command(&[
        "CONFIG",
        "SET",
        "loading-process-events-interval-bytes",
        "1024",
    ]);
    let port = server.port();
    let reload = tokio::task::spawn_blocking(move || {
        crate::support::resp::command(port, &["DEBUG", "RELOAD"])
    });
    let error = until("LOADING", || async {
        let error = get(&connections, "k").await.err()?;
        let loading = format!("{error:?}").contains("LOADING");
        (loading || !connections.healthy()).then_some(error)
    })
    .await;
    assert!(error.is_unavailable(), "{error:?}");
    opened(&connections).await;
    reload.await.expect("ends").expect("reloads");
    recovered(&connections).await;
}

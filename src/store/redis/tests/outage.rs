//! Redis is stopped, slow, cut off, restarted or not started yet.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Config, RedisClient, connect, get, set};
use crate::support::{RedisServer, proxy::Proxy, until};

const DEADLINE: Duration = Duration::from_millis(100);
/// How much longer a busy machine may take.
const SLACK: Duration = Duration::from_millis(900);

async fn connect_with_short_deadline(url: &str) -> RedisClient {
    let config = Config {
        deadline: DEADLINE,
        ..Config::default()
    };
    RedisClient::connect(url, config).await.expect("connects")
}

async fn wait_until_recovered(client: &RedisClient) {
    let since = Instant::now();
    until("the breaker to close", || async {
        client.healthy().then_some(())
    })
    .await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(2), "recovery took {took:?}");
    get(client, "k").await.expect("answers again");
}

/// Sends requests until the breaker is open; none waits longer than the deadline.
async fn wait_until_open(client: &RedisClient) {
    until("the breaker to open", || async {
        let asked = (0..64).map(|_| async {
            let since = Instant::now();
            let reply = get(client, "k").await;
            (reply, since.elapsed())
        });
        for (reply, waited) in join_all(asked).await {
            assert!(reply.is_err_and(|error| error.is_unavailable()));
            assert!(waited < DEADLINE + SLACK, "waited {waited:?}");
        }
        (!client.healthy()).then_some(())
    })
    .await;
}

async fn requests_fail_fast(client: &RedisClient) {
    let since = Instant::now();
    for _ in 0..10_000 {
        get(client, "k").await.expect_err("redis is unavailable");
    }
    let took = since.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "10,000 requests took {took:?}"
    );
}

#[tokio::test]
async fn requests_fail_fast_while_redis_is_stopped_and_work_after_it_continues() {
    let server = RedisServer::start();
    let client = connect_with_short_deadline(&server.url()).await;
    for _ in 0..2 {
        set(&client, "k", "v").await.expect("set");
        server.stop_signal();
        wait_until_open(&client).await;
        requests_fail_fast(&client).await;
        server.continue_signal();
        wait_until_recovered(&client).await;
    }
}

#[tokio::test]
async fn the_breaker_opens_for_a_slow_redis_and_closes_again() {
    let server = RedisServer::start();
    let client = connect_with_short_deadline(&server.url()).await;
    let port = server.port();
    let asleep = tokio::task::spawn_blocking(move || {
        crate::support::resp::command(port, &["DEBUG", "SLEEP", "1.5"])
    });
    until("a late answer", || async { get(&client, "k").await.err() }).await;
    wait_until_open(&client).await;
    asleep.await.expect("ends").expect("woke up");
    wait_until_recovered(&client).await;
}

#[tokio::test]
async fn a_killed_and_restarted_redis_is_used_again() {
    let mut server = RedisServer::start();
    let client = connect_with_short_deadline(&server.url()).await;
    set(&client, "k", "v").await.expect("set");
    server.kill();
    wait_until_open(&client).await;
    requests_fail_fast(&client).await;
    server.restart();
    wait_until_recovered(&client).await;
    assert_eq!(get(&client, "k").await.expect("asked"), None);
}

/// The first request after a restart of Redis must not have to reconnect.
#[tokio::test]
async fn connections_are_replaced_without_requests() {
    let mut server = RedisServer::start();
    let client = connect(&server.url()).await;
    set(&client, "k", "v").await.expect("set");
    server.restart();
    until("all connections to be replaced", || async {
        let list = server.command(&["CLIENT", "LIST"]).text();
        let open = list.matches("cmd=ping").count();
        (open >= Config::default().connections && client.healthy()).then_some(())
    })
    .await;
    get(&client, "k").await.expect("answers");
    assert!(client.healthy());
}

#[tokio::test]
async fn connecting_to_a_server_that_is_not_started_is_an_outage() {
    let mut server = RedisServer::start();
    server.kill();
    let client = connect_with_short_deadline(&server.url()).await;
    assert!(!client.healthy());
    requests_fail_fast(&client).await;
    server.restart();
    wait_until_recovered(&client).await;
}

#[tokio::test]
async fn a_host_name_that_does_not_resolve_is_an_outage() {
    let client = connect_with_short_deadline("redis://redis.invalid:6379").await;
    assert!(!client.healthy());
    requests_fail_fast(&client).await;
}

#[tokio::test]
async fn a_truncated_reply_is_an_error() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await.expect("listens");
    let client = connect(&proxy.url()).await;
    let long = "x".repeat(200_000);
    set(&client, "k", &long).await.expect("set");
    proxy.cut_after(100_000);
    let error = get(&client, "k").await.expect_err("cut");
    assert!(error.is_unavailable(), "{error}");
    proxy.heal();
    let whole = || async { get(&client, "k").await.ok().flatten() };
    assert_eq!(until("a new connection", whole).await, long);
}

#[tokio::test]
async fn a_server_that_is_loading_is_an_outage() {
    let server = RedisServer::start();
    let client = connect_with_short_deadline(&server.url()).await;
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
        let error = get(&client, "k").await.err()?;
        let loading = format!("{error:?}").contains("LOADING");
        (loading || !client.healthy()).then_some(error)
    })
    .await;
    assert!(error.is_unavailable(), "{error:?}");
    wait_until_open(&client).await;
    reload.await.expect("ends").expect("reloads");
    wait_until_recovered(&client).await;
}

//! Several processes on one Redis.

use std::fs;

use tempfile::TempDir;

use super::{
    exchange::{get, request, with_body},
    program::{Program, output},
};
use crate::support::{RedisServer, wait_for};

const ENGAGEMENT: &str = "/engagements/550e8400-e29b-41d4-a716-446655440000";

/// Two servers on one Redis and one database.
struct TwoServers {
    one: Program,
    other: Program,
    _directory: TempDir,
}

/// With this table, whose deadline must be long enough for a busy machine.
fn two_servers(redis: &RedisServer, table: &str) -> TwoServers {
    assert!(table.contains("deadline = \"5s\""), "{table}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| {
        let path = directory.path().join(name);
        path.into_os_string().into_string().expect("a path of text")
    };
    let (database, file, url) = (file("forge.sqlite"), file("table.toml"), redis.url());
    fs::write(&file, table).expect("it can be written");
    let flags = ["--redis", &url, "--database", &database, "--table", &file];
    TwoServers {
        one: Program::start("openforge", &flags),
        other: Program::start("openforge", &flags),
        _directory: directory,
    }
}

fn built_in() -> String {
    let table = include_str!("../../examples/openforge/keep.toml");
    table.replace("deadline = \"50ms\"", "deadline = \"5s\"")
}

fn is_hit(program: &Program, path: &str) -> bool {
    get(program.address, path)
        .field("cache-status")
        .is_some_and(|status| status.contains("; hit"))
}

#[test]
fn a_response_stored_by_one_process_is_served_by_another() {
    let redis = RedisServer::start();
    let TwoServers { one, other, .. } = &two_servers(&redis, &built_in());

    wait_for("a hit in the first process", || is_hit(one, ENGAGEMENT));
    wait_for("a hit in the other process", || is_hit(other, ENGAGEMENT));
    assert_eq!(get(other.address, "/debug/queries").json()["queries"], 0);

    let key = ENGAGEMENT.replace("/engagements/", "engagement:");
    assert!(redis.command(&["KEYS", "*"]).strings().contains(&key));
}

#[test]
fn after_a_put_no_process_serves_the_old_version() {
    let redis = RedisServer::start();
    let TwoServers { one, other, .. } = &two_servers(&redis, &built_in());
    let name = |program: &Program| get(program.address, ENGAGEMENT).json()["name"].clone();

    for round in 0..5 {
        wait_for("a hit in both processes", || {
            is_hit(one, ENGAGEMENT) && is_hit(other, ENGAGEMENT)
        });
        let body = format!(r#"{{"name": "Round {round}"}}"#);
        assert_eq!(
            with_body(one.address, "PUT", ENGAGEMENT, "", &body).status(),
            200
        );
        assert_eq!(name(one), format!("Round {round}"));
        wait_for("the new version in the other process", || {
            name(other) == format!("Round {round}")
        });
    }
}

#[test]
fn other_programs_invalidate_by_publishing() {
    let redis = RedisServer::start();
    let openforge = Program::start("openforge", &["--redis", &redis.url()]);
    wait_for("a hit", || is_hit(&openforge, ENGAGEMENT));
    redis.command(&["PUBLISH", "cache:invalidate", "engagement:550e8400*"]);
    wait_for("a miss", || !is_hit(&openforge, ENGAGEMENT));
}

#[test]
fn processes_share_one_limit() {
    let redis = RedisServer::start();
    let table = "
        store.deadline = \"5s\"
        identity.header = \"x-user-id\"
        limit = [{ name = \"api\", by = \"user\", limit = 10, window = \"1h\" }]
    ";
    let TwoServers { one, other, .. } = &two_servers(&redis, table);

    let ask = |program: &Program| {
        request(
            program.address,
            "GET",
            ENGAGEMENT,
            "x-user-id: user-123\r\n",
        )
    };
    let responses = (0..15).map(|turn| ask(if turn % 2 == 0 { one } else { other }));
    let refused: Vec<_> = responses
        .filter(|response| response.status() == 429)
        .collect();
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|response| {
        response
            .field("retry-after")
            .is_some_and(|after| after != "0")
    }));
    assert_eq!(
        request(one.address, "GET", ENGAGEMENT, "x-user-id: user-456\r\n").status(),
        200
    );
}

#[test]
fn without_redis_requests_are_still_served() {
    let mut redis = RedisServer::start();
    let url = redis.url();
    redis.kill();
    let openforge = Program::start("openforge", &["--redis", &url]);
    assert_eq!(get(openforge.address, ENGAGEMENT).status(), 200);
    assert_eq!(
        with_body(openforge.address, "PUT", ENGAGEMENT, "", "{}").status(),
        200
    );
    assert_eq!(openforge.stop().code(), Some(0));
}

#[test]
fn a_wrong_address_or_password_is_reported() {
    let redis = RedisServer::start();
    for url in [
        "nonsense",
        "http://127.0.0.1/",
        &redis.url_as("nobody", "guess"),
    ] {
        let output = output("openforge", &["--redis", url, "--listen", "127.0.0.1:0"]);
        assert_eq!(output.status.code(), Some(2), "{url}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            message.starts_with("error: ") && !message.contains("guess"),
            "{message}"
        );
    }
}

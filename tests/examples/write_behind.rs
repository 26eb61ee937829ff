//! `openforge` accepts the activities of agents at once, and applies them later.

use std::{
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    exchange::{RawResponse, get, with_body},
    program::Program,
};
use crate::support::RedisServer;

const ACTIVITY: &str = "/agents/agent-001/activity";
const JSON: &str = "Content-Type: application/json\r\n";

fn post(address: SocketAddr, body: &str) -> RawResponse {
    with_body(address, "POST", ACTIVITY, JSON, body)
}

/// The messages that a GET shows.
fn messages(address: SocketAddr) -> Vec<String> {
    let rows = get(address, ACTIVITY).json();
    let rows = rows.as_array().expect("an array").iter();
    let message = |row: &Value| row["message"].as_str().unwrap_or_default().to_owned();
    rows.map(message).collect()
}

/// Waits until the write has been applied. A Redis without a queue hands out nothing for half a minute.
fn applied(address: SocketAddr, status: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let status = get(address, status).json();
        if status["state"] == "done" {
            return status;
        }
        assert!(Instant::now() < end, "{status}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_activity_is_accepted_shown_and_written_once() {
    let openforge = Program::start("openforge", &[]);
    let address = openforge.address;
    let before = messages(address);
    // By the id, a reader recognises an activity that is pending and already written.
    let activity = r#"{"id": "activity-3", "kind": "search", "message": "read 12 documents"}"#;
    let accepted = post(address, activity);
    assert_eq!(accepted.status(), 202, "{}", accepted.text);
    let shown = messages(address);
    assert_eq!(
        shown
            .iter()
            .filter(|one| *one == "read 12 documents")
            .count(),
        1
    );
    assert_eq!(shown[0], "read 12 documents");
    assert_eq!(shown[1..], before);

    let location = accepted.field("location").expect("a location").to_owned();
    let status = applied(address, &location);
    assert_eq!(status["response"]["status"], 201);
    let written = get(address, ACTIVITY);
    assert_eq!(written.json()[0]["agent_id"], "agent-001");
    assert_eq!(messages(address), shown);
}

#[test]
fn an_activity_that_could_not_be_applied_is_not_accepted() {
    let openforge = Program::start("openforge", &[]);
    for body in [
        "[]",
        "{",
        r#"{"kind": "search"}"#,
        r#"{"kind": "a", "message": "b", "x": 1}"#,
    ] {
        assert_eq!(post(openforge.address, body).status(), 422, "{body}");
    }
}

#[test]
fn an_accepted_activity_survives_the_process_that_has_accepted_it() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = directory.path().join("forge.sqlite");
    let (database, url) = (database.to_str().expect("text"), redis.url());
    let flags = ["--redis", &url, "--database", database];
    let first = Program::start("openforge", &flags);
    let accepted = post(first.address, r#"{"kind": "sql", "message": "survives"}"#);
    assert_eq!(accepted.status(), 202, "{}", accepted.text);
    first.signal(Signal::KILL);
    first.wait();

    let second = Program::start("openforge", &flags);
    assert_eq!(messages(second.address)[0], "survives");
    let worker = Program::start_worker("openforge", &flags);
    let location = accepted.field("location").expect("a location").to_owned();
    applied(second.address, &location);
    let rows = get(second.address, ACTIVITY).json();
    assert_eq!(rows[0]["message"], "survives");
    assert_eq!(rows[0]["agent_id"], "agent-001");
    assert!(worker.stop().success());
}

use std::net::SocketAddr;

use super::{
    exchange::{RawResponse, get, request, with_body},
    program::{Program, output},
};

const ENGAGEMENT: &str = "/engagements/550e8400-e29b-41d4-a716-446655440000";

/// The number of statements so far.
fn queries(address: SocketAddr) -> u64 {
    get(address, "/debug/queries").json()["queries"]
        .as_u64()
        .expect("a count")
}

#[test]
fn every_route_in_the_guide_serves_content() {
    let openforge = Program::start("openforge", &[]);
    for path in [
        "/engagements?page=1&status=active",
        ENGAGEMENT,
        &format!("{ENGAGEMENT}/tasks"),
        &format!("{ENGAGEMENT}/tasks/task-1"),
        &format!("{ENGAGEMENT}/metrics/daily"),
        "/agents",
        "/agents/agent-001",
        "/agents/agent-001/config",
        "/agents/agent-001/status",
        "/agents/agent-001/activity",
        "/datasources/ds-001",
        "/datasources/ds-001/schema",
        "/users/user-123",
        "/users/user-123/profile",
        "/users/user-123/preferences",
        "/sessions/session-of-user-123",
        "/dashboards/org-456/stats",
        "/dashboards/org-456/engagements",
        "/search/embeddings?q=spare%20parts",
        "/pipelines/pipeline-001",
        "/pipelines/pipeline-001/status",
        "/pipelines/pipeline-001/runs",
        "/pipelines/pipeline-001/runs/run-002/status",
        "/config/features",
        "/reference/engagement-statuses",
    ] {
        let response = get(openforge.address, path);
        assert_eq!(response.status(), 200, "{path}: {}", response.text);
        let json = response.json();
        assert!(
            json.as_array().is_none_or(|all| !all.is_empty()),
            "{path} is empty"
        );
    }
}

#[test]
fn a_put_changes_some_fields_and_returns_the_whole_document() {
    let openforge = Program::start("openforge", &[]);
    let before = get(openforge.address, ENGAGEMENT).json();
    assert_eq!(before["name"], "Supply chain discovery");

    let put = with_body(
        openforge.address,
        "PUT",
        ENGAGEMENT,
        "",
        r#"{"name": "Second phase"}"#,
    );
    assert_eq!(put.status(), 200);
    let after = get(openforge.address, ENGAGEMENT).json();
    assert_eq!(put.json(), after);
    assert_eq!(
        (&after["name"], &after["version"]),
        (&"Second phase".into(), &2.into())
    );
    assert_eq!(after["budget"], before["budget"]);
}

#[test]
fn writes_meant_for_another_version_are_refused() {
    let openforge = Program::start("openforge", &[]);
    let read = get(openforge.address, ENGAGEMENT);
    let tag = read.field("etag").expect("an entity tag");
    let held = request(
        openforge.address,
        "GET",
        ENGAGEMENT,
        &format!("If-None-Match: {tag}\r\n"),
    );
    assert_eq!((held.status(), held.body()), (304, ""));

    let matching = format!("If-Match: {tag}\r\n");
    let put =
        |fields: &str, body| with_body(openforge.address, "PUT", ENGAGEMENT, fields, body).status();
    assert_eq!(put(&matching, r#"{"status": "paused"}"#), 200);
    assert_eq!(put(&matching, r#"{"status": "active"}"#), 412);
    assert_eq!(put("", r#"{"status": "active", "version": 1}"#), 409);
    assert_eq!(put("", r#"{"status": "active", "version": 2}"#), 200);
}

#[test]
fn mistakes_are_problem_details() {
    let openforge = Program::start("openforge", &[]);
    for (method, path, body, status) in [
        ("GET", "/engagements/nope", "", 404),
        ("GET", "/nope", "", 404),
        ("GET", "/engagements/nope/tasks", "", 404),
        ("GET", "/engagements?page=x", "", 400),
        ("PUT", ENGAGEMENT, "{", 400),
        ("PUT", ENGAGEMENT, "[]", 422),
        ("PUT", ENGAGEMENT, r#"{"colour": "red"}"#, 422),
        ("PUT", ENGAGEMENT, r#"{"status": "lost"}"#, 422),
        (
            "POST",
            "/engagements",
            r#"{"org_id": "org-0", "name": "Nobody's"}"#,
            422,
        ),
        (
            "POST",
            "/agents",
            r#"{"id": "agent-001", "org_id": "org-456", "name": "Again"}"#,
            409,
        ),
        ("PATCH", ENGAGEMENT, "{}", 405),
    ] {
        let response = with_body(openforge.address, method, path, "", body);
        assert_eq!(
            response.status(),
            status,
            "{method} {path} {body}: {}",
            response.text
        );
        assert_eq!(
            response.field("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(response.json()["status"], status);
    }
    let long = "x".repeat(2 * 1024 * 1024);
    assert_eq!(
        with_body(openforge.address, "PUT", ENGAGEMENT, "", &long).status(),
        413
    );
}

#[test]
fn created_documents_are_found_and_deleted_ones_are_not() {
    let openforge = Program::start("openforge", &[]);
    let made = with_body(
        openforge.address,
        "POST",
        &format!("{ENGAGEMENT}/tasks"),
        "",
        r#"{"title": "Report"}"#,
    );
    assert_eq!(made.status(), 201);
    let location = made.field("location").expect("a location");
    assert_eq!(get(openforge.address, location).json()["title"], "Report");
    assert_eq!(
        request(openforge.address, "DELETE", location, "").status(),
        204
    );
    assert_eq!(get(openforge.address, location).status(), 404);
}

#[test]
fn only_the_user_sees_their_notification_settings() {
    let openforge = Program::start("openforge", &[]);
    let path = "/users/user-123/preferences";
    let own = request(openforge.address, "GET", path, "x-user-id: user-123\r\n").json();
    let other = request(openforge.address, "GET", path, "x-user-id: user-456\r\n").json();
    assert!(own["notifications"].is_object());
    assert!(other["notifications"].is_null() && other["theme"] == "dark");
    assert_eq!(
        with_body(
            openforge.address,
            "PUT",
            path,
            "x-user-id: user-456\r\n",
            "{}"
        )
        .status(),
        403
    );
}

#[test]
fn a_head_response_equals_the_head_of_the_get() {
    let openforge = Program::start("openforge", &[]);
    let head = request(openforge.address, "HEAD", ENGAGEMENT, "");
    let get = get(openforge.address, ENGAGEMENT);
    assert_eq!(head.field("content-length"), get.field("content-length"));
    assert_eq!(head.body(), "");
}

#[test]
fn statements_are_counted() {
    let openforge = Program::start("openforge", &[]);
    let before = queries(openforge.address);
    assert_eq!(queries(openforge.address), before);
    get(openforge.address, "/config/features");
    assert_eq!(queries(openforge.address), before + 1);
}

#[test]
fn a_second_get_does_not_touch_the_database() {
    let openforge = Program::start("openforge", &[]);
    let status = |response: &RawResponse| {
        response
            .field("cache-status")
            .unwrap_or_default()
            .to_owned()
    };
    let first = get(openforge.address, ENGAGEMENT);
    assert!(
        status(&first).contains("fwd=") && status(&first).ends_with("stored"),
        "{}",
        first.text
    );
    let asked = queries(openforge.address);

    let second = get(openforge.address, ENGAGEMENT);
    assert!(status(&second).contains("hit; ttl="), "{}", second.text);
    assert_eq!(second.body(), first.body());
    assert_eq!(queries(openforge.address), asked);
}

#[test]
fn user_documents_are_stored_for_each_user() {
    let openforge = Program::start("openforge", &[]);
    let path = "/users/user-123/preferences";
    let ask = |user: &str| {
        let response = request(
            openforge.address,
            "GET",
            path,
            &format!("x-user-id: {user}\r\n"),
        );
        let hit = response
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit"));
        (hit, response.json()["notifications"].is_object())
    };
    assert_eq!(ask("user-123"), (false, true));
    assert_eq!(ask("user-456"), (false, false));
    assert_eq!(ask("user-123"), (true, true));
    assert_eq!(ask("user-456"), (true, false));
}

#[test]
fn another_table_can_be_passed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("table.toml");
    let flags = ["--table", file.to_str().expect("a path that is text")];

    std::fs::write(&file, "unlisted = \"pass\"\n").expect("it can be written");
    let openforge = Program::start("openforge", &flags);
    assert_eq!(
        get(openforge.address, ENGAGEMENT).field("cache-status"),
        None
    );

    std::fs::write(&file, "[ttl]\nengagement = \"soon\"\n").expect("it can be written");
    let refused = output("openforge", &flags);
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("table.toml:2"), "{message}");
}

#[test]
fn two_processes_share_a_database_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("forge.sqlite");
    let flags = ["--database", file.to_str().expect("a path that is text")];
    let (one, other) = (
        Program::start("openforge", &flags),
        Program::start("openforge", &flags),
    );
    assert_eq!(
        with_body(
            one.address,
            "PUT",
            "/config/limits",
            "",
            r#"{"max_upload_mb": 7}"#
        )
        .status(),
        200
    );
    assert_eq!(
        get(other.address, "/config/limits").json()["max_upload_mb"],
        7
    );

    assert!(one.stop().success() && other.stop().success());
    let again = Program::start("openforge", &flags);
    assert_eq!(
        get(again.address, "/config/limits").json()["max_upload_mb"],
        7
    );
}

#[test]
fn every_response_reports_the_remaining_quotas() {
    let openforge = Program::start("openforge", &[]);
    let response = get(openforge.address, ENGAGEMENT);
    let policies = response.all("ratelimit-policy").join(", ");
    assert!(
        policies.contains("\"address\";q=30000;w=60") && policies.contains("\"api\";q=6000;w=60"),
        "{policies}"
    );

    let login = |_| {
        with_body(
            openforge.address,
            "POST",
            "/sessions",
            "",
            r#"{"user_id": "user-123"}"#,
        )
        .status()
    };
    let statuses: Vec<_> = (0..90).map(login).collect();
    assert_eq!(statuses.first(), Some(&201));
    assert_eq!(statuses.last(), Some(&429));
}

#[test]
fn a_write_invalidates_every_page_that_shows_it() {
    let openforge = Program::start("openforge", &[]);
    let is_hit = |path: &str| {
        let response = get(openforge.address, path);
        response
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit"))
    };
    let (tasks, metrics) = (
        format!("{ENGAGEMENT}/tasks"),
        format!("{ENGAGEMENT}/metrics/daily"),
    );
    let shown = [
        ENGAGEMENT,
        &tasks,
        &metrics,
        "/engagements?status=active",
        "/dashboards/org-456/engagements",
    ];
    let others = [
        "/engagements/550e8400-e29b-41d4-a716-446655440002",
        "/agents/agent-001",
    ];
    for path in shown.iter().chain(&others) {
        get(openforge.address, path);
        assert!(is_hit(path), "{path}");
    }
    assert_eq!(
        with_body(
            openforge.address,
            "PUT",
            ENGAGEMENT,
            "",
            r#"{"status": "completed"}"#
        )
        .status(),
        200
    );
    assert!(shown.iter().all(|path| !is_hit(path)));
    assert!(others.iter().all(|path| is_hit(path)));

    // The refused requests have changed nothing.
    assert_eq!(
        with_body(
            openforge.address,
            "PUT",
            ENGAGEMENT,
            "",
            r#"{"status": "lost"}"#
        )
        .status(),
        422
    );
    assert!(shown.iter().all(|path| is_hit(path)));
}

#[test]
fn a_new_version_does_not_use_old_entries() {
    let openforge = Program::start("openforge", &[]);
    let is_hit = |path: &str| {
        let response = get(openforge.address, path);
        response
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit"))
    };
    let (config, agent) = ("/config/features", "/agents/agent-001");
    assert!(!is_hit(config) && is_hit(config) && !is_hit(agent) && is_hit(agent));
    let bumped = request(openforge.address, "POST", "/debug/versions/config", "");
    assert_eq!(bumped.status(), 204);
    assert!(!is_hit(config) && is_hit(config) && is_hit(agent));
}

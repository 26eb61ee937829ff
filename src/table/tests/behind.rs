//! The settings of write-behind.

use std::time::Duration;

use super::WHOLE;
use crate::{
    table::{
        Behind, BehindPlan, Identity, PendingMode, Route, Store, Table, Write, days, hours, mins,
        secs,
    },
    write_queue::Durability,
};

/// A route whose writes are applied later, with further settings.
const ROUTE: &str = "[[route]]\npath = \"/a/{id}\"\nkey = \"a:{id}\"\nwrite = \"behind\"\n";

fn error_of(text: &str) -> String {
    match Table::from_toml(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn error_of_code(table: Table) -> String {
    table.validate().expect_err("an invalid table").to_string()
}

fn warnings_of(text: &str) -> Vec<String> {
    let text = format!("host = [\"*\"]\n{text}");
    let table = Table::from_toml(&text).expect("a valid table");
    table.check().iter().map(ToString::to_string).collect()
}

/// Compares each message with its beginning.
fn assert_start(found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, start) in found.iter().zip(expected) {
        assert!(found.starts_with(start), "{found:?}\n{start:?}");
    }
}

#[test]
fn the_plan_has_what_the_table_says() {
    let table = Table::from_toml(WHOLE).expect("the whole table");
    let plan = table.compile().expect("a valid table");
    let expected = BehindPlan {
        status_path: "/status/writes".into(),
        max_queue: 1000,
        max_per_key: 10,
        max_bytes: 32 << 20,
        max_body: 64 << 10,
        attempts: 5,
        max_age: hours(12),
        backoff: Duration::from_millis(500),
        max_backoff: mins(1),
        hold_after_dead: true,
        keep_result: mins(10),
        keep_body: 4 << 10,
        idempotency: hours(2),
        max_dead: 50,
        max_dead_bytes: 1 << 20,
        dead_age: days(7),
        durable: Durability::Replicas(2),
        volatile: true,
    };
    assert_eq!(plan.behind, expected);
}

#[test]
fn nothing_has_to_be_kept_of_what_was_applied() {
    let behind = Behind::new()
        .keep_result(Duration::ZERO)
        .idempotency(Duration::ZERO)
        .keep_body(0);
    let plan = Table::new().behind(behind).compile();
    let plan = plan.expect("a valid table");
    let expected = BehindPlan {
        keep_result: Duration::ZERO,
        idempotency: Duration::ZERO,
        keep_body: 0,
        ..BehindPlan::default()
    };
    assert_eq!(plan.behind, expected);
    assert!(!expected.hold_after_dead && !plan.behind_routes());
}

#[test]
fn a_route_has_settings_of_write_behind_only_with_it() {
    let table = Table::new()
        .route(
            Route::new("/a/{id}")
                .key("a:{id}")
                .write(Write::Behind)
                .pending(PendingMode::Append)
                .pending_field("items")
                .pending_id("id")
                .coalesce(true)
                .keep_fields(["X-Request-Id", "traceparent"]),
        )
        .route(Route::new("/b").key("b").pending(PendingMode::Body));
    let plan = table.compile().expect("a valid table");
    assert!(plan.behind_routes());
    let route = |path| plan.route(path, None).expect("a route").plan();
    let behind = route("/a/1").behind.as_ref().expect("behind");
    assert_eq!(behind.pending, PendingMode::Append);
    assert_eq!(behind.pending_field.as_deref(), Some("items"));
    assert_eq!(behind.pending_id.as_deref(), Some("id"));
    assert!(behind.coalesce);
    assert_eq!(*behind.keep_fields, ["x-request-id", "traceparent"]);
    assert!(route("/a/1").needs_write_behind_layer());
    assert!(route("/b").behind.is_none() && !route("/b").needs_write_behind_layer());
}

#[test]
fn invalid_settings_of_the_section_have_helpful_errors() {
    for (setting, message) in [
        (
            "status_path = \"writes\"",
            "status_path: \"writes\" does not begin with a slash; write \"/writes\"",
        ),
        (
            "status_path = \"\"",
            "status_path: \"\" would be the status of writes on every path; write \"/writes\"",
        ),
        (
            "status_path = \"/\"",
            "status_path: \"/\" would be the status of writes on every path; write \"/writes\"",
        ),
        (
            "status_path = \"/writes/{id}\"",
            "status_path: \"/writes/{id}\" has a parameter; write a path without any",
        ),
        (
            "status_path = \"/writes/\"",
            "status_path: \"/writes/\" ends with a slash; write \"/writes\"",
        ),
        (
            "status_path = \"/a/../b\"",
            "status_path: \"/a/../b\" is not a plain path; write letters",
        ),
        (
            "max_queue = 0",
            "max_queue: must be greater than 0; write 10000",
        ),
        (
            "max_per_key = 0",
            "max_per_key: must be greater than 0; write 100",
        ),
        (
            "max_bytes = 0",
            "max_bytes: must be greater than 0; write \"64MiB\"",
        ),
        (
            "max_body = 0",
            "max_body: must be greater than 0; write \"1MiB\"",
        ),
        ("attempts = 0", "attempts: must be greater than 0; write 25"),
        (
            "max_age = 0",
            "max_age: must be greater than 0; write \"24h\"",
        ),
        (
            "backoff = 0",
            "backoff: must be greater than 0; write \"1s\"",
        ),
        (
            "max_backoff = 0",
            "max_backoff: must be greater than 0; write \"10m\"",
        ),
        (
            "max_dead = 0",
            "max_dead: must be greater than 0; write 10000",
        ),
        (
            "max_dead_bytes = 0",
            "max_dead_bytes: must be greater than 0; write \"16MiB\"",
        ),
        (
            "dead_age = 0",
            "dead_age: must be greater than 0; write \"30d\"",
        ),
        (
            "max_backoff = \"500ms\"",
            "max_backoff: 500ms is shorter than backoff, 1s; write at least \"1s\", or a shorter backoff",
        ),
        (
            "durable = \"replicas:0\"",
            "durable: 0 replicas promise no more than \"memory\"; write that, or \"replicas:1\"",
        ),
    ] {
        let error = error_of(&format!("[behind]\n{setting}"));
        let start = format!("line 2: [behind] {message}");
        assert!(error.starts_with(&start), "{error}\n{start}");
    }
    for (setting, message) in [
        (
            "durable = \"disk\"",
            "\"disk\" is not a durability; write \"memory\", \"fsync\" or \"replicas:1\"",
        ),
        (
            "durable = \"replicas:256\"",
            "\"256\" is not a number of replicas; write \"replicas:1\", or up to 255",
        ),
        (
            "attempts = \"25\"",
            "invalid type: string \"25\", expected a whole number below 2^32; write 25, without quotes",
        ),
        (
            "attempts = -1",
            "invalid value: integer `-1`, expected a whole number below 2^32; write 0 or more, as 100",
        ),
        (
            "after_dead = \"stop\"",
            "unknown variant `stop`, expected `continue` or `hold`",
        ),
        ("max_atempts = 1", "unknown field `max_atempts`"),
        (
            "atempts = 1",
            "unknown field `atempts`; did you mean `attempts`?",
        ),
    ] {
        let error = error_of(&format!("[behind]\n{setting}"));
        let start = format!("line 2: {message}");
        assert!(error.starts_with(&start), "{error}\n{start}");
    }
}

#[test]
fn code_cannot_set_what_a_file_cannot() {
    for behind in [
        Behind::new().max_age(Duration::MAX),
        Behind::new().max_backoff(Duration::MAX),
        Behind::new().keep_result(Duration::MAX),
        Behind::new().idempotency(Duration::MAX),
        Behind::new().dead_age(Duration::MAX),
    ] {
        let error = error_of_code(Table::new().behind(behind));
        assert!(error.contains("is longer than a century; write"), "{error}");
    }
    for behind in [
        Behind::new().durable(Durability::Replicas(0)),
        Behind::new().backoff(Duration::from_nanos(1)),
        Behind::new().attempts(0),
        Behind::new().status_path("/a b"),
    ] {
        let error = error_of_code(Table::new().behind(behind));
        assert!(error.contains("write"), "{error}");
    }
}

#[test]
fn routes_without_order_or_writes_are_refused() {
    for (text, message) in [
        (
            "[[route]]\npath = \"/a\"\nwrite = \"behind\"",
            "line 3: route \"/a\", write: writes are applied in order per key, so \"behind\" needs one; write key =",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a:{#body}\"\nwrite = \"behind\"",
            "line 3: route \"/a\", key: with {#body} each write has a key of its own",
        ),
        (
            "[[route]]\npath = \"/p.S/M\"\nkey = \"a\"\ngrpc = \"write\"\nwrite = \"behind\"",
            "line 5: route \"/p.S/M\", write: a gRPC call needs its answer, so it cannot be applied later; leave out `grpc`, or",
        ),
        (
            "[[route]]\npath = \"/a\"\nkey = \"a\"\nsafe_methods = [\"REPORT\", \"POST\"]\nwrite = \"behind\"",
            "line 4: route \"/a\", safe_methods: POST changes nothing on this path, so it cannot be a write that is applied later",
        ),
    ] {
        let error = error_of(text);
        assert!(error.starts_with(message), "{error}\n{message}");
    }
    let reports = format!("{ROUTE}safe_methods = [\"REPORT\"]");
    assert!(Table::from_toml(&reports).is_ok(), "another safe method");
}

#[test]
fn invalid_settings_of_a_route_have_helpful_errors() {
    for (setting, message) in [
        (
            "pending = \"first\"",
            "line 5: unknown variant `first`, expected one of `ignore`, `body`, `prepend`, `append`",
        ),
        (
            "pending_id = \"\"",
            "line 5: route \"/a/{id}\", pending_id: an empty name is not a field",
        ),
        (
            "pending_field = \"\"",
            "line 5: route \"/a/{id}\", pending_field: an empty name is not a field",
        ),
        (
            "keep_fields = [\"x request\"]",
            "line 5: route \"/a/{id}\", keep_fields: \"x request\" is not a field name; write one",
        ),
        (
            "keep_fields = [\"connection\"]",
            "line 5: route \"/a/{id}\", keep_fields: \"connection\" concerns the client's connection, not the write; leave it out",
        ),
    ] {
        let error = error_of(&format!("{ROUTE}{setting}"));
        assert!(error.starts_with(message), "{error}\n{message}");
    }
}

#[test]
fn credentials_are_not_kept() {
    let table = |field: &str| {
        let identity = Identity::new().header("x-person").credentials("x-shop");
        let route = Route::new("/a").key("a").write(Write::Behind);
        Table::new()
            .identity(identity)
            .route(route.keep_fields(["accept-language", field]))
    };
    for field in [
        "authorization",
        "Cookie",
        "proxy-authorization",
        "x-api-key",
        "X-Shop",
        "x-person",
    ] {
        let error = error_of_code(table(field));
        let name = field.to_ascii_lowercase();
        let message = format!(
            "keep_fields: \"{name}\" is a credential, and credentials are not stored; leave it out"
        );
        assert!(error.contains(&message), "{error}");
    }
    table("x-request-id").validate().expect("no credential");
}

/// A process may use what it has stored until `max_lag` after the end of a write, and the queue
/// remembers that end for a minute.
#[test]
fn a_long_lag_is_refused_with_write_behind() {
    let table = |write| {
        let store = Store::new().max_lag(secs(31));
        Table::new()
            .store(store)
            .route(Route::new("/a").key("a").write(write))
    };
    table(Write::Invalidate).validate().expect("no queue");
    let error = error_of_code(table(Write::Behind));
    let message =
        "[store] max_lag: with a route that has write = \"behind\" it must be at most 30s";
    assert!(error.starts_with(message), "{error}");
    let longest = table(Write::Behind).store(Store::new().max_lag(secs(30)));
    longest.validate().expect("the longest");
    let in_toml = format!("[store]\nmax_lag = \"1m\"\n{ROUTE}");
    assert!(error_of(&in_toml).starts_with("line 2: [store] max_lag: "));
}

#[test]
fn settings_without_write_behind_are_warned_about() {
    let text = r#"
        [[route]]
        path = "/a"
        key = "a"
        pending = "append"
        pending_field = "items"
        pending_id = "id"
        coalesce = true
        keep_fields = ["x-request-id"]
    "#;
    let names = [
        "pending",
        "pending_field",
        "pending_id",
        "coalesce",
        "keep_fields",
    ];
    let expected = names.map(|name| {
        format!(
            "route \"/a\", {name}: it has no effect by itself; write write = \"behind\" as well"
        )
    });
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_start(&warnings_of(text), &expected);
}

#[test]
fn doubtful_settings_of_write_behind_are_warned_about() {
    for (settings, expected) in [
        ("", vec![]),
        ("pending = \"body\"\ncoalesce = true", vec![]),
        ("coalesce = true", vec![]),
        (
            "pending = \"append\"\npending_id = \"id\"\npending_field = \"items\"",
            vec![],
        ),
        (
            "pending = \"prepend\"",
            vec![
                "pending: an element may appear twice while its write is applied; write pending_id =",
            ],
        ),
        (
            "pending = \"append\"\npending_id = \"id\"\ncoalesce = true",
            vec!["coalesce: only a waiting PUT can be replaced"],
        ),
        (
            "pending = \"body\"\npending_id = \"id\"\npending_field = \"items\"",
            vec![
                "pending_field: only elements of an array have it; write pending = \"prepend\"",
                "pending_id: only elements of an array have it",
            ],
        ),
        (
            "before = true",
            vec!["before: each attempt to apply the write is declared anyway"],
        ),
        (
            "partial_writes = true",
            vec!["partial_writes: a write that is applied later is accepted only with"],
        ),
        (
            "through = \"answer\"",
            vec!["through: it has no effect on a write that is applied later"],
        ),
        (
            "invalidates = [\"a:{answer.org}\", \"a:{id}\"]",
            vec![
                "invalidates: \"a:{answer.org}\" invalidates for every value of the response's field",
            ],
        ),
    ] {
        let expected: Vec<String> = expected
            .iter()
            .map(|start| format!("route \"/a/{{id}}\", {start}"))
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_start(&warnings_of(&format!("{ROUTE}{settings}")), &expected);
    }
}

#[test]
fn pending_writes_under_a_key_of_the_query_are_warned_about() {
    let route = |key: &str, pending| {
        format!(
            "[[route]]\npath = \"/a\"\nkey = \"{key}\"\nwrite = \"behind\"\npending = \"{pending}\""
        )
    };
    let expected =
        ["route \"/a\", pending: pending writes are shown only to requests without a query"];
    assert_start(&warnings_of(&route("a:{query.page}", "body")), &expected);
    assert_start(&warnings_of(&route("a:{#query}", "body")), &expected);
    assert_start(&warnings_of(&route("a:{query.page}", "ignore")), &[]);
}

#[test]
fn bounds_that_contradict_each_other_are_warned_about() {
    let expected = [
        "[behind] max_body: longer content than max_bytes is never accepted",
        "[behind] max_dead_bytes: a write as long as max_body cannot be kept",
    ];
    assert_start(&warnings_of("[behind]\nmax_body = \"65MiB\""), &expected);
    assert_start(&warnings_of("[behind]\nmax_body = \"16MiB\""), &[]);
}

#[test]
fn a_route_on_the_status_path_is_warned_about() {
    let with_route = |path: &str| format!("{ROUTE}[[route]]\npath = \"{path}\"");
    let expected = [
        "[behind] status_path: the status of writes is on the paths of the route \"/writes/{id}\"; write another path, as \"/status/writes\"",
    ];
    assert_start(&warnings_of(&with_route("/writes/{id}")), &expected);
    for path in ["/writes", "/writesome/{id}", "/{*rest}"] {
        assert_start(&warnings_of(&with_route(path)), &[]);
    }
    let without_queue = "[[route]]\npath = \"/writes/{id}\"";
    assert_start(&warnings_of(without_queue), &[]);
}

#[test]
fn no_setting_of_write_behind_panics() {
    for time in [
        Duration::ZERO,
        Duration::from_nanos(1),
        mins(1),
        Duration::MAX,
    ] {
        for count in [0, 1, u32::MAX] {
            let behind = Behind::new()
                .attempts(count)
                .max_queue(count.into())
                .max_bytes(u64::MAX)
                .max_body(count.into())
                .backoff(time)
                .max_backoff(time)
                .max_age(time);
            let table = Table::new().behind(behind);
            let _ = table.validate();
            let _ = table.check();
        }
    }
}

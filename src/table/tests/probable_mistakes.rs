//! Warnings about settings without effect, refreshes at each hit, and patterns that are widened.

use crate::table::{Local, Route, Table, mins};

fn warnings(table: &Table) -> Vec<String> {
    table.check().iter().map(ToString::to_string).collect()
}

fn one_route(route: Route) -> Table {
    Table::new().host("*").ttl("a", mins(30)).route(route)
}

#[test]
fn a_refresh_at_each_hit_is_reported() {
    let table = |ahead, jitter| {
        let route = Route::new("/a").key("a").refresh_ahead(mins(ahead));
        one_route(route).jitter(jitter)
    };
    for (ahead, jitter) in [(26, 0.1), (29, 0.0), (14, 0.5)] {
        assert_eq!(warnings(&table(ahead, jitter)), [""; 0], "{ahead} {jitter}");
    }
    for (ahead, jitter, message) in [
        (
            27,
            0.1,
            "[ttl] jitter may leave 27m of the TTL of 30m, so that with 27m such a response is refreshed at each hit; write less than 27m, or a smaller jitter",
        ),
        (
            16,
            0.5,
            "[ttl] jitter may leave 15m of the TTL of 30m, so that with 16m such a response is refreshed at each hit; write less than 15m, or a smaller jitter",
        ),
        (
            1,
            1.0,
            "[ttl] jitter may leave 0s of the TTL of 30m, so that with 1m such a response is refreshed at each hit; write a smaller jitter",
        ),
    ] {
        let expected = format!("route \"/a\", refresh_ahead: {message}");
        assert_eq!(warnings(&table(ahead, jitter)), [expected]);
    }
}

#[test]
fn settings_without_effect_are_reported() {
    let methods = Route::new("/a").key("a").safe_methods(["GET"]);
    let no_body = Route::new("/a").key("a").max_body(0);
    for (table, message) in [
        (
            one_route(methods),
            "route \"/a\", safe_methods: GET and HEAD change nothing on any path; leave them out",
        ),
        (
            one_route(no_body),
            "route \"/a\", max_body: no response with a body is stored; write a size such as \"1MiB\", or leave it out and let the handler answer with `no-store`",
        ),
        (
            one_route(Route::new("/a").key("a")).local(Local::new().fill_buffer(0)),
            "[local] fill_buffer: without it no response with a body is stored; write a size such as \"64MiB\"",
        ),
    ] {
        assert_eq!(warnings(&table), [message]);
    }
}

#[test]
fn more_patterns_than_are_matched_exactly_are_reported() {
    let table = |count| {
        let patterns: Vec<_> = (0..count).map(|i| format!("a:*:part{i}")).collect();
        let twice = [patterns.clone(), patterns].concat();
        let prefixes = (0..100).map(|i| format!("a:{i}:*"));
        one_route(
            Route::new("/a/{id}/{part}")
                .key("a:{id}:{part}")
                .invalidates(twice),
        )
        .route(
            Route::new("/b/{id}")
                .key("b:{id}")
                .invalidates(prefixes.collect::<Vec<_>>()),
        )
    };
    assert_eq!(warnings(&table(64)), [""; 0]);
    assert_eq!(
        warnings(&table(65)),
        [
            "route \"/a/{id}/{part}\", invalidates: only the latest 64 patterns with a wildcard before their end are matched exactly, and the table has too many such patterns: older ones are widened, \"a:*:part64\" to \"a:*\"; write that, or name keys so that the `*` comes last"
        ]
    );
}

#[test]
fn a_pattern_for_each_value_is_reported() {
    let table = |name: &str| {
        let route = Route::new("/a/{id}/{part}").key("a:{id}:{part}");
        one_route(route.invalidates([name]))
    };
    for name in ["a:{id}:*", "a:{id}:{part}", "a:*:stats"] {
        assert_eq!(warnings(&table(name)), [""; 0], "{name}");
    }
    for (name, widened) in [("a:*:{part}", "a:*"), ("a:{id}*:x", "a:{id}*")] {
        let expected = format!(
            "route \"/a/{{id}}/{{part}}\", invalidates: only the latest 64 patterns with a wildcard before their end are matched exactly, and each value of its placeholders makes a pattern of its own: older ones are widened, {name:?} to {widened:?}; write that, or name keys so that the `*` comes last"
        );
        assert_eq!(warnings(&table(name)), [expected]);
    }
}

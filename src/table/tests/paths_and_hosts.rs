//! The paths and hosts that a table names.

use crate::table::{Route, Table};

fn warnings(table: &Table) -> Vec<String> {
    table.check().iter().map(ToString::to_string).collect()
}

#[test]
fn paths_that_requests_do_not_have_are_warned_about() {
    let with = |path: &str| Table::new().route(Route::new(path));
    for path in ["/a//b", "/a/../b", "/a%2fb", "/a/%zz", "//{id}"] {
        let warnings = warnings(&with(path));
        assert!(
            warnings[0].contains("bypass the cache"),
            "{path} {warnings:?}"
        );
    }
    for (path, instead) in [
        ("/%6cogin", "/login"),
        ("/caf%c3%a9/{id}", "/caf%C3%A9/{id}"),
        ("/a%3Ab", "/a:b"),
    ] {
        let warnings = warnings(&with(path));
        let end = format!("write {instead:?}");
        assert!(warnings[0].ends_with(&end), "{path} {warnings:?}");
    }
    for path in [
        "/",
        "/a/",
        "/caf%C3%A9",
        "/files/{*path}",
        "/.well-known/{id}",
    ] {
        assert_eq!(warnings(&with(path)), [""; 0], "{path}");
    }
}

const NO_HOST: &str =
    "host: the responses of the route \"/a\" are shared by requests with every `Host`";

#[test]
fn a_key_without_the_host_is_warned_about_once() {
    let routes = || Route::new("/a").key("a");
    let two = Table::new()
        .route(routes())
        .route(Route::new("/b").key("b"));
    let warnings_of_two = warnings(&two);
    assert_eq!(warnings_of_two.len(), 1, "{warnings_of_two:?}");
    assert!(
        warnings_of_two[0].starts_with(NO_HOST),
        "{warnings_of_two:?}"
    );
    for table in [
        two.clone().host(["api.example.com"]),
        two.host("*"),
        Table::new().route(routes().host("*")),
        Table::new().route(routes().host("a.example")),
        Table::new().route(Route::new("/a").key("a:{host}")),
        Table::new().route(Route::new("/a").key("a:{#host}")),
        Table::new().route(Route::new("/a")),
    ] {
        assert_eq!(warnings(&table), [""; 0]);
    }
}

#[test]
fn a_malformed_host_of_the_table_is_an_error() {
    let error = Table::from_toml("\nhost = [\"http://a/\"]").expect_err("invalid");
    let message = "line 2: host: \"http://a/\" is not an authority; write \"api.example.com\"";
    assert!(error.to_string().starts_with(message), "{error}");
    let error = Table::from_toml("host = \"a\"").expect_err("invalid");
    assert!(error.to_string().ends_with("write [\"a\"]"), "{error}");
}

#[test]
fn of_several_routes_the_one_that_names_the_host_most_specifically_serves_it() {
    let route = |key: &str| Route::new("/a").key(key);
    let table = Table::new()
        .host(["c.example", "*.b.example"])
        .route(route("table"))
        .route(route("any").host("*"))
        .route(route("wildcard").host("*.example:*"))
        .route(route("deep").host("*.a.example"))
        .route(route("exact").host("x.a.example"));
    let plan = table.compile().expect("valid");
    for (host, entity) in [
        ("x.a.example", "exact"),
        ("y.a.example", "deep"),
        ("z.example:1", "wildcard"),
        ("other", "any"),
    ] {
        let matched = plan.route("/a", Some(host)).expect("a route");
        assert_eq!(&*matched.plan().entity, entity, "{host}");
    }
    let same = Table::new().host("a").route(route("x")).route(route("y"));
    assert!(same.validate().is_err());
    let same = Table::new()
        .route(route("x").host("a"))
        .route(route("y").host(["b", "A"]));
    assert!(same.validate().is_err());
}

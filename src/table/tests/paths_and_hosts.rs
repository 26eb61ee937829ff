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

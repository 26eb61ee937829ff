//! Keys that leave something out, lifetimes out of range, and names that nothing else uses.

use crate::table::{Route, Table, ValueSettings, hours, mins, secs};

fn error_of(text: &str) -> String {
    match Table::from_toml(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    let table = Table::from_toml(text).expect("a valid table").host("*");
    table.check().iter().map(ToString::to_string).collect()
}

#[test]
fn a_key_contains_what_distinguishes_the_requests_of_its_route() {
    for (fields, message) in [
        (
            "key = \"post:{id}\"",
            "line 3: route \"/p/{id}/{slug}\", key: it lacks {slug}, so paths that differ only in it would share a response; add {slug}, or write ignore_path = [\"slug\"]",
        ),
        (
            "key = \"post\"\nignore_path = [\"slug\"]",
            "line 3: route \"/p/{id}/{slug}\", key: it lacks {id}",
        ),
        (
            "key = \"post:{id}\"\nignore_path = [\"slgu\"]",
            "line 4: route \"/p/{id}/{slug}\", ignore_path: \"slgu\" is not a parameter of the path; did you mean \"slug\"?",
        ),
        (
            "key = \"post:{#id}:{slug}\"\nignore_path = [\"id\"]",
            "line 4: route \"/p/{id}/{slug}\", ignore_path: {id} is in the key; take it out of one of the two",
        ),
        (
            "ignore_path = [\"slug\"]",
            "line 3: route \"/p/{id}/{slug}\", ignore_path: without `key`, the whole path distinguishes responses",
        ),
        (
            "key = \"post:{id}:{slug}:{query.page}\"\nquery = [\"org\"]",
            "line 3: route \"/p/{id}/{slug}\", key: it contains {query.page}, which `query` leaves out; add \"page\" to `query`",
        ),
        (
            "key = \"post:{id}:{slug}:{#query.utm_x}\"\nignore_query = [\"utm_*\"]",
            "line 3: route \"/p/{id}/{slug}\", key: it contains {query.utm_x}, which `ignore_query` leaves out",
        ),
    ] {
        let error = error_of(&format!(
            "[[route]]\npath = \"/p/{{id}}/{{slug}}\"\n{fields}"
        ));
        assert!(error.starts_with(message), "{fields}\n{error}");
    }
    for fields in [
        "key = \"post:{id}\"\nignore_path = [\"slug\"]",
        "key = \"post:{#id}:{slug}\"",
        "key = \"post:{id}:{slug}:{query.page}\"\nquery = [\"page\", \"org\"]",
        "key = \"post:{id}:{slug}:{query.page}\"",
        "",
    ] {
        let text = format!("[[route]]\npath = \"/p/{{id}}/{{slug}}\"\n{fields}");
        assert_eq!(warnings(&text), [""; 0], "{fields}");
    }
}

#[test]
fn a_ttl_is_greater_than_zero_and_at_most_max() {
    let route = "[[route]]\npath = \"/a\"\nkey = \"a\"\n";
    let zero = "a TTL must be greater than 0; write \"1s\" or more";
    let long = "31d is longer than [ttl] max, 30d; write at most \"30d\", \"never\" for that long, or a longer max";
    for (before, name, place) in [
        ("[ttl]\n", "default", "line 2: [ttl] default: "),
        ("[ttl]\n", "a", "line 2: [ttl] a: "),
        (route, "ttl", "line 4: route \"/a\", ttl: "),
        (
            "[[value]]\nkey = \"a:*\"\n",
            "ttl",
            "line 3: value \"a:*\", ttl: ",
        ),
    ] {
        for (value, message) in [("0", zero), ("\"0s\"", zero), ("\"31d\"", long)] {
            let error = error_of(&format!("{before}{name} = {value}"));
            assert!(error.starts_with(&format!("{place}{message}")), "{error}");
        }
        for value in ["\"30d\"", "1", "\"never\""] {
            let text = format!("{before}{name} = {value}");
            assert!(Table::from_toml(&text).is_ok(), "{text}");
        }
    }
    for (value, message) in [("0", zero), ("\"31d\"", long)] {
        let error = error_of(&format!("{route}negative = {{ 404 = {value} }}"));
        let place = "line 4: route \"/a\", negative: ";
        assert!(error.starts_with(&format!("{place}{message}")), "{error}");
    }
    // The default of one hour is not above a shorter `max`.
    let short = Table::new().max_ttl(mins(5));
    let plan = short.compile().expect("a valid table");
    assert_eq!(plan.ttl_for_raw_key("a:1"), ("a", mins(5)));
    // In code
    assert!(Table::new().ttl("a", secs(0)).validate().is_err());
    assert!(
        Table::new()
            .max_ttl(mins(5))
            .ttl("a", hours(1))
            .validate()
            .is_err()
    );
}

#[test]
fn refresh_ahead_is_compared_with_the_ttl_that_applies() {
    let table = |fields: &str| Table::from_toml(&format!("[[route]]\npath = \"/a\"\n{fields}"));
    let error = table("ttl = \"90s\"\nrefresh_ahead = \"1h30m\"").expect_err("too long");
    assert!(
        error.to_string().starts_with(
            "line 4: route \"/a\", refresh_ahead: 1h30m must be shorter than the TTL of 1m30s"
        ),
        "{error}"
    );
    assert!(
        table("refresh_ahead = \"2h\"").is_ok(),
        "the response's own lifetime applies"
    );
}

#[test]
fn values_that_code_caches_have_settings() {
    for (text, message) in [
        (
            "key = \"{id}\"",
            "line 2: value \"{id}\", key: \"{id}\" does not match the keys of an entity; write literal segments, and `*` in place of identifiers, as \"config:*\"",
        ),
        (
            "key = \"*\"",
            "line 2: value \"*\", key: \"*\" does not match",
        ),
        ("key = \"conf*\"", "line 2: value \"conf*\", key: "),
        ("key = \"url:*\"", "line 2: value \"url:*\", key: "),
        ("key = \"\"", "line 2: value \"\", key: "),
        (
            "key = \"config:*\"\n[[value]]\nkey = \"config\"",
            "line 4: value \"config\", key: another [[value]] has the entity \"config\" already; merge the two",
        ),
        (
            "plain = true",
            "line 1: missing field `key`; write key = \"config:*\"",
        ),
        (
            "kye = \"config:*\"",
            "line 2: unknown field `kye`; did you mean `key`?",
        ),
    ] {
        let error = error_of(&format!("[[value]]\n{text}"));
        assert!(error.starts_with(message), "{text}\n{error}");
    }
    let table = Table::new()
        .ttl("agent", mins(5))
        .ttl("agent:status", mins(6))
        .value(ValueSettings::new("agent:*:status").ttl(secs(10)))
        .value(ValueSettings::new("session:*").plain(true))
        .route(Route::new("/agents/{id}/status").key("agent:{id}:status"));
    let plan = table.compile().expect("a valid table");
    for (key, entity, ttl) in [
        ("agent:1:status", "agent:status", secs(10)),
        ("agent:1", "agent", mins(5)),
        ("session:1", "session", hours(1)),
    ] {
        assert_eq!(plan.ttl_for_raw_key(key), (entity, ttl), "{key}");
    }
    let route = plan.route("/agents/1/status", None).expect("a route");
    assert_eq!(route.plan().ttl, Some(mins(6)), "a route is not a value");
    assert!(plan.is_plain("session") && !plan.is_plain("agent:status"));
}

#[test]
fn two_exchanged_letters_are_one_mistake() {
    let error = error_of("[[route]]\npath = \"/a\"\nkye = \"a\"");
    assert_eq!(error, "line 3: unknown field `kye`; did you mean `key`?");
    let error = error_of("[[route]]\npath = \"/a\"\nkey = \"a\"\nscpoe = \"public\"");
    assert_eq!(
        error,
        "line 4: unknown field `scpoe`; did you mean `scope`?"
    );
}

const ROUTES: &str = r#"
    [[route]]
    path = "/dashboards/{org}/stats"
    key = "dashboard:{org}:stats"
    tags = ["org:{answer.org_id}"]

    [[route]]
    path = "/engagements/{id}"
    key = "engagement:{id}"
"#;

#[test]
fn names_that_no_key_can_have_are_warned_about() {
    for (name, warning) in [
        (
            "dashbord:*",
            "no key of this table can be \"dashbord:*\"; did you mean \"dashboard:*\"? If code caches values under it, write [[value]] key = \"dashbord:*\"",
        ),
        (
            "engagement:{id}:tasks",
            "no key of this table can be \"engagement:{id}:tasks\"; correct it, or if code caches values under it, write [[value]] key = \"engagement:*\"",
        ),
        (
            "org:{answer.org_id}",
            "no key can be \"org:{answer.org_id}\", only a tag, and `invalidates` names keys; name the keys, or call keep.invalidate(Invalidation::tag(...)) in code",
        ),
    ] {
        let text = format!("{ROUTES}invalidates = [\"{name}\"]");
        let expected = format!("route \"/engagements/{{id}}\", invalidates: {warning}");
        assert_eq!(warnings(&text), [expected]);
    }
    for name in [
        "dashboard:*",
        "dashboard:*:stats",
        "dashboard:{id}:*",
        "engagement:{id}",
        "engagement:{id}:*",
        "*",
        "url:api.example.com/*",
        "config:{id}",
    ] {
        let value = "[[value]]\nkey = \"config:*\"";
        let text = format!("{ROUTES}invalidates = [\"{name}\"]\n{value}");
        assert_eq!(warnings(&text), [""; 0], "{name}");
    }
}

#[test]
fn entities_that_only_code_uses_are_declared_as_values() {
    let ttl = "[ttl]\nconfig = \"1h\"\n\"agent:status\" = \"1m\"\n[version]\nconfig = 2\n";
    assert_eq!(
        warnings(ttl).last().map(String::as_str),
        Some(
            "[version] config: no route's key has this entity; correct the name, or if code caches values under it, write [[value]] key = \"config:*\""
        )
    );
    let values = "[[value]]\nkey = \"config:*\"\n[[value]]\nkey = \"agent:*:status\"";
    assert_eq!(warnings(&format!("{ttl}{values}")), [""; 0]);
}

#[test]
fn a_namespace_that_runs_together_with_the_keys_is_warned_about() {
    let expected =
        "namespace: it runs together with the keys, as shopengagement:42; write \"shop:\"";
    assert_eq!(warnings("namespace = \"shop\""), [expected]);
    for namespace in ["", "shop:", "shop.", "shop-", "shop_"] {
        assert_eq!(warnings(&format!("namespace = \"{namespace}\"")), [""; 0]);
    }
}

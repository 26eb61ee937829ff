//! Matching paths to routes and limits, and the resulting keys, tags and invalidations.

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;
use serde_json::json;

use super::WHOLE;
use crate::{
    key::{ContentHash, Key, KeyBuf, KeyInputs, PathReadings, purge::PurgeTarget},
    table::{
        Limit, LimitPlan, Plan, Route, Scope, Table, ValueSettings,
        limit_plan::{CostPlan, SubjectPart as By},
        mins,
        plan::value_source::KeyError,
        secs,
    },
};

fn plan(table: &Table) -> Plan {
    table.compile().expect("a valid table")
}

fn applies(limit: &LimitPlan, method: &Method, path: &str) -> bool {
    limit.applies(method, &PathReadings::of(path))
}

fn one(route: Route) -> Plan {
    plan(&Table::new().route(route))
}

/// A request without its path.
#[derive(Default)]
struct TestRequest<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    query: Option<&'a str>,
    headers: HeaderMap,
    user: Option<&'a str>,
    body: Option<ContentHash>,
}

impl TestRequest<'_> {
    fn inputs<'a>(&'a self, path: &'a str) -> KeyInputs<'a> {
        KeyInputs {
            scheme: self.scheme,
            host: self.host,
            path,
            query: self.query,
            headers: &self.headers,
            user: self.user,
            body: self.body,
        }
    }

    fn key(&self, plan: &Plan, path: &str) -> Result<String, KeyError> {
        let mut out = KeyBuf::new();
        let matched = plan.route(path, self.host).expect("a route");
        matched.key(&self.inputs(path), 0, &mut out)?;
        Ok(out.as_str().to_owned())
    }
}

fn key(plan: &Plan, path: &str) -> Result<String, KeyError> {
    TestRequest::default().key(plan, path)
}

#[test]
fn the_whole_table_makes_keys() {
    let plan = plan(&WHOLE.parse().expect("valid"));
    let request = TestRequest {
        query: Some("utm_source=x&page=2"),
        user: Some("user-123"),
        host: Some("api.example.com"),
        body: Some(ContentHash::of(&Method::POST, &HeaderMap::new(), b"{}")),
        ..TestRequest::default()
    };
    assert_eq!(
        request.key(&plan, "/engagements/42").as_deref(),
        Ok("engagement:42~2?page=2")
    );
    assert_eq!(
        request.key(&plan, "/users/123/preferences").as_deref(),
        Ok("user:123:preferences@user-123?page=2&utm_source=x")
    );
    assert_eq!(
        request.key(&plan, "/search").as_deref(),
        Ok("search:embeddings:9b3697b8ebdc63aeb08c1e30a22a10ae?page=2")
    );
    let route = plan
        .route("/dashboards/o/stats", None)
        .expect("a route")
        .plan();
    assert_eq!(&*route.entity, "dashboard:stats");
    assert_eq!(route.ttl, Some(mins(15)));
    assert_eq!(*route.negative, [(StatusCode::NOT_FOUND, secs(10))]);
    let search = plan
        .route("/search", Some("API.EXAMPLE.COM:443"))
        .expect("a route")
        .plan();
    assert_eq!(search.ttl, Some(plan.max_ttl));
    assert!(search.needs_body && search.is_safe(&Method::POST) && !search.is_safe(&Method::PUT));
    assert!(
        !plan
            .route("/pkg.Agents/Start", None)
            .expect("a route")
            .plan()
            .is_safe(&Method::GET)
    );
}

#[test]
fn the_most_specific_path_wins() {
    let plan = plan(
        &Table::new()
            .route(Route::new("/{*all}").key("all:{all}"))
            .route(Route::new("/a/{id}").key("a:{id}"))
            .route(Route::new("/a/me").key("a:me")),
    );
    assert_eq!(key(&plan, "/a/me").as_deref(), Ok("a:me"));
    assert_eq!(key(&plan, "/a/you").as_deref(), Ok("a:you"));
    assert_eq!(key(&plan, "/a/you/too").as_deref(), Ok("all:a%2Fyou%2Ftoo"));
    assert!(plan.route("/", None).is_none());
}

#[test]
fn the_host_selects_among_routes_of_one_path() {
    let plan = plan(
        &Table::new()
            .route(Route::new("/a/{x}").key("any:{x}"))
            .route(Route::new("/a/{y}").key("one:{y}").host(["one.example:80"]))
            .route(
                Route::new("/b")
                    .key("b")
                    .host(["one.example", "two.example:8080"]),
            ),
    );
    let at = |host, path| {
        TestRequest {
            host,
            ..TestRequest::default()
        }
        .key(&plan, path)
    };
    assert_eq!(at(Some("ONE.example"), "/a/1").as_deref(), Ok("one:1"));
    assert_eq!(at(Some("two.example"), "/a/1").as_deref(), Ok("any:1"));
    assert_eq!(at(None, "/a/1").as_deref(), Ok("any:1"));
    assert_eq!(at(Some("two.example:8080"), "/b").as_deref(), Ok("b"));
    for other in [
        None,
        Some("two.example"),
        Some("three.example"),
        Some("one.example.evil"),
    ] {
        assert!(plan.route("/b", other).is_none(), "{other:?}");
    }
}

#[test]
fn parameters_are_found_by_position() {
    let plan = one(Route::new("/{a}/{b}/{c}/{d}/{*e}").key("k:{e}:{d}:{c}:{b}:{a}"));
    assert_eq!(key(&plan, "/1/2/3/4/5/6").as_deref(), Ok("k:5%2F6:4:3:2:1"));
}

#[test]
fn every_placeholder_is_filled() {
    let plan = one(Route::new("/t/{token}")
        .key("k:{#token}:{query.q}:{header.x-lang}:{host}:{user}")
        .scope(Scope::User));
    let mut request = TestRequest {
        host: Some("u@H:80"),
        query: Some("z=1&q=a%20b"),
        user: Some("me@x"),
        ..TestRequest::default()
    };
    assert_eq!(request.key(&plan, "/t/secret"), Err(KeyError::Missing));
    request
        .headers
        .insert("x-lang", http::HeaderValue::from_static("de, en"));
    let full = request.key(&plan, "/t/secret").expect("a key");
    // The first 32 digits of SHA-256 of `secret`.
    assert_eq!(
        full,
        "k:2bb80d537b1da3e38bd30361aa855686:a%20b:de%2C%20en:h%3A80:me%40x@me%40x?z=1"
    );
    assert_eq!(
        Key::new("k").hashed("secret").as_str(),
        "k:2bb80d537b1da3e38bd30361aa855686"
    );
    request.user = None;
    assert_eq!(request.key(&plan, "/t/secret"), Err(KeyError::NoUser));
    request.user = Some("me");
    request.query = Some("q=1&q=2");
    assert_eq!(request.key(&plan, "/t/secret"), Err(KeyError::Missing));
    request.query = Some("q=%zz");
    assert_eq!(request.key(&plan, "/t/secret"), Err(KeyError::Malformed));
    assert_eq!(request.key(&plan, "/t/%"), Err(KeyError::Malformed));
}

#[test]
fn a_hashed_query_is_not_also_a_variation() {
    let plan = one(Route::new("/s")
        .key("search:{#query}")
        .ignore_query(["utm_*"]));
    let at = |query| {
        TestRequest {
            query,
            ..TestRequest::default()
        }
        .key(&plan, "/s")
    };
    let hashed = at(Some("a=1&b=2")).expect("a key");
    assert_eq!(hashed.len(), "search:".len() + 32);
    assert_eq!(at(Some("b=2&utm_x=1&a=1")).as_deref(), Ok(&*hashed));
    assert_ne!(at(Some("a=1")).as_deref(), Ok(&*hashed));
    assert_eq!(at(None), Err(KeyError::Missing));
}

#[test]
fn a_query_parameter_in_the_key_is_not_also_a_variation() {
    let only = one(Route::new("/s").key("s:{query.q}").query(["q", "page"]));
    let request = TestRequest {
        query: Some("q=a&page=1&x=2"),
        ..TestRequest::default()
    };
    assert_eq!(request.key(&only, "/s").as_deref(), Ok("s:a?page=1"));
    let all = one(Route::new("/s").key("s:{query.q}"));
    assert_eq!(request.key(&all, "/s").as_deref(), Ok("s:a?page=1&x=2"));
}

#[test]
fn the_key_of_a_route_without_template_is_host_and_path() {
    let plan = one(Route::new("/a/{id}").query(["page"]));
    let request = TestRequest {
        host: Some("h"),
        query: Some("page=1&x=2"),
        ..TestRequest::default()
    };
    assert_eq!(
        request.key(&plan, "/a/1").as_deref(),
        Ok("url:h:%2Fa%2F1?+c5c34f0fdf091a49d75cc51b4f64ab34")
    );
}

#[test]
fn only_the_key_of_a_route_without_template_contains_the_scheme() {
    let request = TestRequest {
        scheme: Some("HTTPS"),
        host: Some("h"),
        ..TestRequest::default()
    };
    let without = one(Route::new("/a/{id}"));
    let key = request.key(&without, "/a/1");
    assert_eq!(key.as_deref(), Ok("url:h:%2Fa%2F1?+:https"));
    let with = one(Route::new("/a/{id}").key("a:{id}"));
    assert_eq!(request.key(&with, "/a/1").as_deref(), Ok("a:1"));
}

#[test]
fn versions_follow_the_key() {
    let table = Table::new().version("agent", 3).route(
        Route::new("/a/{id}")
            .key("agent:{id}:status")
            .scope(Scope::User),
    );
    let plan = plan(&table);
    let headers = HeaderMap::new();
    let path = "/a/7";
    let inputs = KeyInputs {
        scheme: None,
        host: None,
        path,
        query: Some("x"),
        headers: &headers,
        user: Some("u"),
        body: None,
    };
    let mut out = KeyBuf::new();
    plan.route(path, None)
        .expect("a route")
        .key(&inputs, 9, &mut out)
        .expect("a key");
    assert_eq!(out.as_str(), "agent:7:status~3.9@u?x");
    assert_eq!((out.base(), out.user()), ("agent:7:status", Some("u")));
    assert_eq!(plan.version_of_entity("agent:status"), 3);
    assert_eq!(plan.version_of_entity("agents"), 0);
}

#[test]
fn a_missing_value_leaves_a_response_without_tags() {
    let plan = one(Route::new("/e/{id}")
        .key("e:{id}")
        .tags(["org:{answer.org_id}", "e-{id}"]));
    let request = TestRequest::default();
    let path = "/e/a%20b";
    let matched = plan.route(path, None).expect("a route");
    let tags = |answer: serde_json::Value| matched.tags(&request.inputs(path), Some(&answer));
    let found = tags(json!({"org_id": "o:1"})).expect("tags");
    assert_eq!(
        found.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        ["org:o%3A1", "e-a%20b"]
    );
    assert_eq!(&*tags(json!({"org_id": 7})).expect("tags")[0], "org:7");
    for missing in [
        json!({}),
        json!({"org_id": null}),
        json!({"org_id": []}),
        json!({"org_id": ""}),
        json!([]),
    ] {
        let error = tags(missing.clone()).map_err(|value| value.to_string());
        assert_eq!(error, Err("{answer.org_id}".to_owned()), "{missing}");
    }
    assert!(matched.tags(&request.inputs(path), None).is_err());
    assert!(matched.plan().tags_need_answer() && !matched.plan().invalidates_need_answer());
}

#[test]
fn a_value_missing_from_the_response_invalidates_more() {
    let plan = one(Route::new("/e/{id}").key("e:{id}").invalidates([
        "e:{id}",
        "e:{id}:*",
        "d:*:list",
        "o:{answer.org}",
        "o:{answer.org}:x",
        "*",
        "o:{answer.org}:{id}",
    ]));
    let request = TestRequest::default();
    let of = |path: &str, answer: Option<&serde_json::Value>| {
        plan.route(path, None)
            .expect("a route")
            .invalidates(&request.inputs(path), answer)
    };
    assert_eq!(
        of("/e/4%2A", None),
        [
            PurgeTarget::Key("e:4%2A".into()),
            PurgeTarget::Prefix("e:4%2A:".into()),
            PurgeTarget::Glob("d:*:list".into()),
            PurgeTarget::Prefix("o:".into()),
            PurgeTarget::Glob("o:*:x".into()),
            PurgeTarget::Everything,
            PurgeTarget::Glob("o:*:4%2A".into()),
        ]
        .map(Some)
    );
    let answer = json!({"org": "*"});
    assert_eq!(
        of("/e/1", Some(&answer))[3],
        Some(PurgeTarget::Key("o:%2A".into()))
    );
}

/// A client could leave out any of these values.
#[test]
fn a_target_for_which_the_request_lacks_a_value_is_left_out() {
    let plan = one(Route::new("/e/{id}")
        .key("e:{id}:{user}:{query.q}:{header.x-tenant}:{host}")
        .query(["q"])
        .vary(["x-tenant"])
        .invalidates([
            "i:{id}",
            "u:{user}",
            "u:{#user}",
            "q:{query.q}",
            "h:{header.x-tenant}",
            "n:{host}",
            "{id}:{answer.org}",
        ]));
    let request = TestRequest::default();
    let of = |path: &str| {
        let matched = plan.route(path, None).expect("a route");
        let inputs = request.inputs(path);
        (matched.target(&inputs), matched.invalidates(&inputs, None))
    };
    let (target, named) = of("/e/%zz");
    assert_eq!((target, named), (None, vec![None; 7]));
    let (target, named) = of("/e/1");
    assert_eq!(target, None);
    assert_eq!(named[0], Some(PurgeTarget::Key("i:1".into())));
    assert_eq!(named[1..6], vec![None; 5]);
    assert_eq!(named[6], Some(PurgeTarget::Prefix("1:".into())));
}

/// All contents share the path, and a write's own content is not that of a read.
#[test]
fn the_target_of_a_key_with_content_covers_every_content() {
    let plan = one(Route::new("/search")
        .key("search:{#body}")
        .safe_methods(["POST"]));
    let request = TestRequest::default();
    let inputs = request.inputs("/search");
    let matched = plan.route("/search", None).expect("a route");
    let expected = PurgeTarget::Prefix("search:".into());
    assert_eq!(matched.target(&inputs), Some(expected));
}

#[test]
fn the_entity_of_a_key_is_the_longest_name() {
    let table = Table::new()
        .ttl("agent", secs(1))
        .ttl("agent:status", secs(2))
        .ttl("pipeline:run:status", secs(3))
        .default_ttl(secs(9))
        .max_ttl(mins(1))
        .ttl("embedding", std::time::Duration::MAX)
        .route(Route::new("/d/{o}").key("dashboard:{o}:stats"));
    let plan = plan(&table);
    for (key, entity, ttl) in [
        ("agent:7:status", "agent:status", 2),
        ("agent:7", "agent", 1),
        ("agent", "agent", 1),
        ("agent:7:config", "agent", 1),
        ("pipeline:1:run:2:status", "pipeline:run:status", 3),
        ("pipeline:1:status:run", "pipeline", 9),
        ("x:agent:status", "x", 9),
        ("agents:7", "agents", 9),
        ("dashboard:o:stats", "dashboard:stats", 9),
        ("embedding:1", "embedding", 60),
    ] {
        assert_eq!(plan.ttl_for_raw_key(key), (entity, secs(ttl)), "{key}");
    }
    assert_eq!(plan.ttl_of_entity("agent:status:deep"), secs(2));
}

#[test]
fn an_entity_and_those_below_it_are_plain() {
    let table = Table::new()
        .value(ValueSettings::new("config:*").plain(true))
        .value(ValueSettings::new("config:*:secret"));
    let plan = plan(&table);
    assert!(plan.is_plain("config") && plan.is_plain("config:app"));
    assert!(!plan.is_plain("configs") && !plan.is_plain("conf"));
    assert!(
        !plan.is_plain("config:secret"),
        "it has settings of its own"
    );
}

#[test]
fn limits_apply_by_path_and_method() {
    let plan = plan(&WHOLE.parse().expect("valid"));
    let [api, login] = plan.limits() else {
        panic!("two limits")
    };
    assert!(applies(api, &Method::GET, "/a/b") && !applies(api, &Method::GET, "/"));
    assert!(applies(login, &Method::POST, "/login") && !applies(login, &Method::GET, "/login"));
    assert_eq!(
        *login.by,
        [
            By::Ip,
            By::Header(http::HeaderName::from_static("x-device"))
        ]
    );
    assert_eq!(
        login.cost,
        CostPlan::Header(http::HeaderName::from_static("x-cost"))
    );
    assert_eq!(
        (
            login.policy(None).quota.limit(),
            login.policy(Some("pro")).quota.limit(),
            login.policy(Some("?")).quota.limit()
        ),
        (5, 50, 5)
    );
    assert!(login.refunds(StatusCode::BAD_GATEWAY) && login.refunds(StatusCode::NOT_FOUND));
    assert!(!login.refunds(StatusCode::OK) && !api.refunds(StatusCode::BAD_GATEWAY));

    let everywhere = super::matching::plan(
        &Table::new()
            .limit(Limit::new("a", 1, secs(1)).exempt(["path:/healthz", "path:/static/{*f}"])),
    );
    let limit = &everywhere.limits()[0];
    assert!(applies(limit, &Method::GET, "/") && applies(limit, &Method::GET, "/a"));
    assert!(
        !applies(limit, &Method::GET, "/healthz") && !applies(limit, &Method::GET, "/static/a/b")
    );
}

#[test]
fn the_longest_key_is_bounded() {
    let plan = one(Route::new("/{a}/{*b}")
        .key(format!("{}:{{a}}:{{b}}:{{header.x}}", "k".repeat(500)))
        .scope(Scope::User));
    let long = "v".repeat(5000);
    let mut request = TestRequest {
        query: Some(&long),
        user: Some(&long),
        ..TestRequest::default()
    };
    request.headers.insert("x", long.parse().expect("a value"));
    let key = request
        .key(&plan, &format!("/{long}/{long}"))
        .expect("a key");
    let base = key.split_once('@').expect("a user").0;
    assert_eq!(base.len(), 512);
    assert!(key.len() < 512 + 210, "{}", key.len());
}

proptest! {
    #[test]
    fn routes_and_applications_make_the_same_key(raw in "\\PC{1,80}", sub in "[a-z]{1,5}") {
        let escaped: String = raw.bytes().map(|b| format!("%{b:02X}")).collect();
        let plan = one(Route::new("/e/{id}/x").key(format!("engagement:{{id}}:{sub}")));
        let made = Key::new("engagement").id(&raw).sub(&sub);
        prop_assert_eq!(key(&plan, &format!("/e/{escaped}/x")), Ok(made.to_string()));
    }

    #[test]
    fn routes_and_applications_shorten_keys_alike(parts in prop::collection::vec("[a-z%]{0,90}", 9..12)) {
        let names: Vec<String> = (0..parts.len()).map(|i| format!("{{p{i}}}")).collect();
        let plan = one(Route::new(format!("/{}", names.join("/"))).key(format!("k:{}", names.join(":"))));
        let parts: Vec<String> = parts.into_iter().map(|p| p + "z").collect();
        let escaped: Vec<String> = parts.iter().map(|p| p.replace('%', "%25")).collect();
        let made = parts.iter().fold(Key::new("k"), |key, part| key.id(part));
        prop_assert_eq!(key(&plan, &format!("/{}", escaped.join("/"))), Ok(made.to_string()));
    }

    #[test]
    fn requests_cannot_imitate_syntax(
        path in "/e/[!-~]{1,20}",
        query in prop::option::of("[!-~]{0,30}"),
        host in prop::option::of("[!-~]{0,20}"),
        user in "\\PC{1,20}",
        field in "[ -~]{0,20}",
    ) {
        let plan = one(
            Route::new("/e/{*id}").key("e:{id}:{header.x}:{host}").scope(Scope::User),
        );
        let mut request = TestRequest { host: host.as_deref(), query: query.as_deref(), user: Some(&user), ..TestRequest::default() };
        request.headers.insert("x", field.parse().expect("a value"));
        let mut out = KeyBuf::new();
        let matched = plan.route(&path, request.host).expect("a route");
        if matched.key(&request.inputs(&path), 0, &mut out).is_ok() {
            let base = out.base();
            prop_assert_eq!(base.split(':').count(), 4, "{}", base);
            let forged = base.contains(['@', '?', '#', '*', '{', '}', '~', '[', '\\']);
            prop_assert!(!forged, "{}", base);
            let rest = &out.as_str()[base.len()..];
            prop_assert_eq!(rest.matches('@').count(), 1, "{}", rest);
            let variations = usize::from(query.is_some()) + usize::from(rest.contains("?+/"));
            prop_assert_eq!(rest.matches('?').count(), variations, "{}", rest);
            let forged = rest.contains(['#', '*', '{', '}', '~', '[', '\\', ':']);
            prop_assert!(!forged, "{}", rest);
        }
    }
}

#[test]
fn a_limit_applies_to_its_path_only() {
    let applies = |limit: &str, path: &str| {
        let table = Table::new().limit(Limit::new("a", 1, secs(1)).path(limit));
        applies(&plan(&table).limits()[0], &Method::GET, path)
    };
    for (limit, path) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/{id}", "/a/1"),
        ("/a{id}/b", "/a1/b"),
        ("/{*rest}", "/a/b"),
        ("/{{a}}/{id}", "/{a}/1"),
    ] {
        assert!(applies(limit, path), "{path} of {limit}");
    }
    for (limit, path) in [("/a/{id}", "/b/1"), ("/a/{id}", "/a/"), ("/a", "/a/b")] {
        assert!(!applies(limit, path), "{path} of {limit}");
    }
}

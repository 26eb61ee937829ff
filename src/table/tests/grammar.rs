use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use serde::Deserialize;

use super::WHOLE;
use crate::{
    table::{
        AfterDead, Algorithm, Behind, By, Cost, Grpc, Identity, Limit, Local, OnError, PendingMode,
        RequestDirectives, Route, Scope, Store, Table, Through, Unlisted, ValueSettings, Write,
        days, hours, mins,
        quantities::{parse_duration, parse_share, parse_size},
        secs,
    },
    write_queue::Durability,
};

fn in_code() -> Table {
    Table::new()
        .namespace("")
        .unlisted(Unlisted::Explicit)
        .default_ttl(hours(1))
        .max_ttl(days(30))
        .host(["*"])
        .jitter(0.1)
        .ttl("engagement", mins(30))
        .ttl("agent:status", secs(60))
        .ttl("pipeline:run:status", secs(30))
        .ttl("session", secs(300))
        .ttl("user:profile", mins(30))
        .ttl("dashboard:stats", mins(15))
        .ttl("datasource:schema", hours(24))
        .ttl("embedding", hours(24))
        .ttl("config", hours(1))
        .version("engagement", 2)
        .local(Local::new().size(64 << 20).fill_buffer(64 << 20))
        .store(
            Store::new()
                .deadline(Duration::from_millis(50))
                .max_lag(secs(2))
                .journal_size(16 << 20),
        )
        .behind(
            Behind::new()
                .status_path("/status/writes")
                .max_queue(1000)
                .max_per_key(10)
                .max_bytes(32 << 20)
                .max_body(64 << 10)
                .attempts(5)
                .max_age(hours(12))
                .backoff(Duration::from_millis(500))
                .max_backoff(mins(1))
                .after_dead(AfterDead::Hold)
                .keep_result(mins(10))
                .keep_body(4 << 10)
                .idempotency(hours(2))
                .max_dead(50)
                .max_dead_bytes(1 << 20)
                .dead_age(days(7))
                .durable(Durability::Replicas(2))
                .volatile(true),
        )
        .identity(
            Identity::new()
                .header("x-user-id")
                .trusted_proxies(["10.0.0.0/8"])
                .ip_header("x-forwarded-for")
                .credentials(["x-session"])
                .unverified(false),
        )
        .value(ValueSettings::new("config:*").ttl(hours(1)).plain(true))
        .value(
            ValueSettings::new("quote:*")
                .refresh_ahead(mins(5))
                .early_refresh(true)
                .stale_while_revalidate(mins(1))
                .stale_if_error(days(1)),
        )
        .route(
            Route::new("/engagements/{id}")
                .key("engagement:{id}")
                .scope(Scope::Public)
                .query(["page"])
                .tags(["org:{answer.org_id}"])
                .invalidates([
                    "engagement:{id}",
                    "engagement:{id}:*",
                    "dashboard:*:engagement_list",
                ]),
        )
        .route(
            Route::new("/dashboards/{org}/stats")
                .key("dashboard:{org}:stats")
                .scope(Scope::Public)
                .refresh_ahead(mins(5))
                .stale_while_revalidate(secs(30))
                .stale_if_error(mins(10))
                .negative(StatusCode::NOT_FOUND, secs(10)),
        )
        .route(
            Route::new("/users/{id}/preferences")
                .key("user:{id}:preferences")
                .scope(Scope::User)
                .write(Write::Through),
        )
        .route(
            Route::new("/search")
                .key("search:embeddings:{#body}")
                .host(["API.example.com:443"])
                .vary(["accept-language"])
                .ttl(Duration::MAX)
                .override_freshness(true)
                .early_refresh(true)
                .strip(["set-cookie"])
                .max_body(1_000_000)
                .safe_methods(["POST"])
                .request_directives(RequestDirectives::Ignore)
                .ignore_query(["utm_*"])
                .tags(["lang:{header.accept-language}"]),
        )
        .route(
            Route::new("/pkg.Agents/Start")
                .key("agent:start:{#body}")
                .grpc(Grpc::Write)
                .through(Through::Answer)
                .settle(secs(1))
                .partial_writes(true),
        )
        .route(
            Route::new("/agents/{id}/activity")
                .key("agent:{id}:activity")
                .write(Write::Behind)
                .pending(PendingMode::Prepend)
                .pending_field("items")
                .pending_id("id")
                .keep_fields("x-request-id"),
        )
        .route(
            Route::new("/agents/{id}/status")
                .key("agent:{id}:status")
                .write(Write::Behind)
                .pending(PendingMode::Body)
                .coalesce(true),
        )
        .route(
            Route::new("/posts/{id}/{slug}")
                .key("post:{id}")
                .ignore_path(["slug"]),
        )
        .limit(
            Limit::new("api", 100, mins(1))
                .path("/{*rest}")
                .by([By::User]),
        )
        .limit(
            Limit::new("login", 5, mins(90))
                .path("/login")
                .methods(["POST"])
                .by([By::Ip, By::Header("x-device".into())])
                .algorithm(Algorithm::Gcra)
                .burst(3)
                .cost(Cost::Header("x-cost".into()))
                .refund_on(["5xx", "404"])
                .on_error(OnError::Closed)
                .shadow(true)
                .lease(2)
                .exempt(["user:admin", "ip:10.0.0.0/8", "path:/healthz"])
                .plan("pro", 50),
        )
}

#[test]
fn toml_serde_and_code_make_the_same_table() {
    let from_toml = Table::from_toml(WHOLE).expect("the whole table");
    assert_eq!(from_toml, in_code());
    in_code().validate().expect("the same table");

    // As a section of another configuration, in another format
    #[derive(Deserialize)]
    struct Application {
        keep: Table,
    }
    let value: toml::Value = toml::from_str(WHOLE).expect("TOML");
    let json = serde_json::json!({ "keep": value }).to_string();
    let application: Application = serde_json::from_str(&json).expect("JSON");
    assert_eq!(application.keep, from_toml);
    let application: Application =
        toml::Value::Table([("keep".to_owned(), value)].into_iter().collect())
            .try_into()
            .expect("a section");
    assert_eq!(application.keep, from_toml);
}

#[test]
fn serde_rejects_what_toml_rejects() {
    let error =
        serde_json::from_str::<Table>(r#"{"route": [{"path": "/{id}", "key": "a:{idd}"}]}"#)
            .expect_err("a missing parameter");
    assert!(error.to_string().contains("did you mean {id}"), "{error}");
    assert!(serde_json::from_str::<Table>(r#"{"rout": []}"#).is_err());
}

#[test]
fn an_empty_table_is_the_default() {
    assert_eq!("".parse::<Table>().expect("empty"), Table::new());
    Table::new().validate().expect("valid");
    assert!(Table::new().check().is_empty());
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keep.toml");
    std::fs::write(&path, WHOLE).expect("written");
    assert_eq!(Table::load(&path).expect("loaded"), in_code());
    std::fs::write(&path, "\n[ttl]\nengagement = \"soon\"\n").expect("written");
    let error = Table::load(&path).expect_err("no duration");
    let place = format!("{}:3: ", path.display());
    assert!(error.to_string().starts_with(&place), "{error}");
    assert!(
        std::error::Error::source(&error).is_none(),
        "a source would repeat the message"
    );
    let error = Table::load(dir.path().join("none.toml")).expect_err("no file");
    assert!(error.is_config() && std::error::Error::source(&error).is_some());
}

#[test]
fn durations_are_parsed() {
    for (text, millis) in [
        ("30m", 1_800_000),
        ("1h", 3_600_000),
        ("90s", 90_000),
        ("50ms", 50),
        ("1d", 86_400_000),
        ("1h30m", 5_400_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("0s", 0),
    ] {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for bad in [
        "",
        "30",
        "m",
        "1.5h",
        "-1s",
        "1h 30m",
        "30m1h",
        "1s1s",
        "1w",
        "1M",
        "99999999999999999999s",
        "999999999999d",
        "1S",
        "s1",
    ] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn sizes_and_shares_are_parsed() {
    for (text, bytes) in [
        ("64MiB", 64 << 20),
        ("1MB", 1_000_000),
        ("512", 512),
        ("1 KiB", 1024),
        ("2GiB", 2 << 30),
        ("7B", 7),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for bad in ["", "MiB", "1.5MiB", "-1", "1mib", "99999999999GiB"] {
        assert!(parse_size(bad).is_err(), "{bad}");
    }
    assert_eq!(parse_share("10%"), Ok(0.1));
    for bad in ["10", "101%", "-1%", "NaN%", "inf%", "%"] {
        assert!(parse_share(bad).is_err(), "{bad}");
    }
}

#[test]
fn doubtful_settings_are_warned_about() {
    let table = Table::new()
        .ttl("engagment", mins(1))
        .ttl("agent", mins(1))
        .version("pipelin", 1)
        .route(
            Route::new("/engagements/{id}/{part}")
                .key("engagement:{id}:{part}")
                .invalidates(["engagement:{id}*", "engagement:{id}:*"]),
        )
        .route(
            Route::new("/agents/{id}")
                .key("agent:{id}:status")
                .safe_methods(["POST"]),
        )
        .route(Route::new("/me").key("me:{user}").scope(Scope::Public))
        .route(Route::new("/also/me").key("me:{user}").ttl(days(3)))
        .route(Route::new("/caf\u{e9}").key("cafe"))
        .limit(Limit::new("api", 0, mins(1)).burst(3))
        .limit(Limit::new("api", 10, mins(1)).lease(20));
    table.validate().expect("allowed");
    let warnings: Vec<String> = table.check().iter().map(ToString::to_string).collect();
    let expected = [
        "[ttl] engagment: no route's key has this entity",
        "[version] pipelin: no route's key has this entity",
        "host: the responses of the route \"/engagements/{id}/{part}\" are shared",
        "route \"/engagements/{id}/{part}\", invalidates: \"engagement:{id}*\" also matches longer identifiers",
        "route \"/agents/{id}\", key: requests with different bodies share a response",
        "route \"/me\", scope: the key contains the user",
        "route \"/caf\u{e9}\", path: no request has such a path",
        "route \"/also/me\", key: the route \"/me\" has the same key",
        "limit \"api\", limit: it refuses every request",
        "limit \"api\", burst: only algorithm",
        "limit \"api\", name: another limit has this name",
        "limit \"api\", lease: it has no effect yet",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, start) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(start), "{warning:?}\n{start:?}");
    }
}

#[test]
fn settings_without_effect_are_warned_about() {
    let table = Table::from_toml(
        r#"
            [[route]]
            path = "/no-key"
            override = true
            refresh_ahead = "10s"
            [[route]]
            path = "/own-ttl"
            ttl = "1m"
            override = true
            refresh_ahead = "10s"
            [[route]]
            path = "/errors-alone"
            override = true
            negative = { 404 = "10s" }
            [[route]]
            path = "/answer"
            key = "answer"
            through = "answer"
            [[route]]
            path = "/answer/vary"
            key = "answer:vary"
            write = "through"
            through = "answer"
            vary = ["accept-language"]
            [[route]]
            path = "/body"
            key = "body:{#body}"
            write = "through"
            [[limit]]
            name = "api"
            limit = 10
            window = "1m"
            lease = 2
        "#,
    );
    let warnings = table.expect("allowed").check();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "host: the responses of the route \"/answer\" are shared",
        "route \"/no-key\", override: it has no effect without a TTL; write `ttl`, or a `key`",
        "route \"/no-key\", refresh_ahead: without a TTL it has an effect only if the response states",
        "route \"/answer\", through: it has no effect by itself; write write = \"through\"",
        "route \"/answer/vary\", through: a write's response is never stored",
        "route \"/body\", write: it has no effect on a gRPC method",
        "limit \"api\", lease: it has no effect yet",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, start) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(start), "{warning:?}\n{start:?}");
    }
}

#[test]
fn the_whole_table_has_warnings() {
    let warnings: Vec<String> = in_code().check().iter().map(ToString::to_string).collect();
    let (ttl, others): (Vec<_>, Vec<_>) = warnings.iter().partition(|w| w.starts_with("[ttl]"));
    assert!(!ttl.iter().any(|w| w.starts_with("[ttl] engagement")));
    let expected = [
        "route \"/engagements/{id}\", invalidates: no key of this table can be \"dashboard:*:engagement_list\"; correct it",
        "route \"/pkg.Agents/Start\", through: it has no effect by itself",
        "limit \"login\", lease: it has no effect yet",
    ];
    assert_eq!(others.len(), expected.len(), "{others:#?}");
    for (warning, start) in others.iter().zip(expected) {
        assert!(warning.starts_with(start), "{warning:?}\n{start:?}");
    }
}

fn words() -> impl Strategy<Value = String> {
    let lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
    prop::collection::vec(
        prop_oneof![
            4 => prop::sample::select(lines),
            1 => r#"[a-z_]{1,8} = ("[a-z{}:*#./%0-9-]{0,12}"|[0-9]{1,20}|\[\])"#,
            1 => r#"(path|key|tags|invalidates|host|negative|ttl) = (\["[^"\\]{0,12}"\]|"[^"\\]{0,12}"|\{ [0-9]{1,4} = "1s" \})"#,
            1 => ".{0,20}",
        ],
        0..20,
    )
    .prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Table::from_toml(&text);
    }

    #[test]
    fn no_table_panics(text in words()) {
        if let Ok(table) = Table::from_toml(&text) {
            let _ = table.check();
        }
    }

    #[test]
    fn no_path_or_template_panics(path in "[/{}*a-c:é%?]{0,16}", other in "[/{}*ab]{0,12}", key in "[{}#:a-c.*é]{0,16}") {
        let table = Table::new()
            .route(Route::new(format!("/{path}")).key(format!("k:{key}")).invalidates([key.clone()]))
            .route(Route::new(format!("/{other}")).tags([key]))
            .limit(Limit::new("a", 1, secs(1)).path(other));
        let _ = table.validate();
        let _ = table.check();
        if let Ok(plan) = table.compile() {
            plan.route(&path, None);
        }
    }

    #[test]
    fn no_number_panics(n in any::<u64>(), f in any::<f64>()) {
        let duration = Duration::from_secs(n);
        let table = Table::new()
            .default_ttl(duration)
            .max_ttl(duration)
            .jitter(f)
            .limit(Limit::new("a", n, duration).burst(n).lease(n).cost(Cost::Fixed(n)));
        let _ = table.validate();
        let _ = Table::from_toml(&format!("[ttl]\nmax = {n}\ndefault = {f}\njitter = {f}"));
    }
}

#[test]
fn deep_nesting_is_rejected() {
    for text in [
        "a = ".to_owned() + &"[".repeat(100_000),
        "a = ".to_owned() + &"{a=".repeat(100_000),
        "a.".repeat(100_000) + "a = 1",
        "[".to_owned() + &"a.".repeat(100_000) + "a]",
    ] {
        assert!(Table::from_toml(&text).is_err());
    }
}

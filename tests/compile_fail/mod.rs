//! Typical mistakes are compile errors that say what to write.
//!
//! Rust's own part of a message changes from version to version, so only our part is compared, and
//! where a bound of the standard library fails, the name of what is missing.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

const BODY: &str = "is not a request body that tower-keep can make from bytes";
const WRAP: &str =
    ".map_request(|request: Request<_>| request.map(tower_keep::message::RequestBody::new))";
const BOX: &str = "tower_http::map_request_body::MapRequestBodyLayer::new(axum::body::Body::new)";

/// Each case with the texts that its errors must contain; none for the case that must compile.
const CASES: &[(&str, &[&str])] = &[
    ("correct", &[]),
    ("axum_body_of_another_type", &[BODY, BOX]),
    ("axum_error_is_not_infallible", &["Infallible"]),
    ("hyper_body_without_adapter", &[BODY, WRAP]),
    ("inner_service_is_not_clone", &["Clone", "NotClone"]),
    (
        "cached_without_a_key",
        &[
            "#[cached] needs a key; write `key = \"entity:{id}\"`, or `prefix = \"entity\"` to hash all arguments",
        ],
    ),
    (
        "cached_by_an_unknown_argument",
        &["`{idd}` is not an argument of `engagement`; write one of `{keep}`, `{id}`"],
    ),
    (
        "cached_without_a_keep",
        &[
            "#[cached] finds no `Keep`; add an argument `keep: &Keep`, or write `keep = \"an expression\"` in the attribute",
        ],
    ),
    ("cached_for_no_duration", &["not a duration; write \"30m\""]),
    (
        "cached_function_is_not_async",
        &["#[cached] needs an async function; write `async fn`"],
    ),
    (
        "invalidates_nothing",
        &["#[invalidates] names nothing; write keys and patterns"],
    ),
    (
        "invalidates_a_mixed_segment",
        &["the segment `{id}*` mixes text and an argument; separate them with a colon"],
    ),
];

#[test]
fn mistakes_lead_to_errors_that_say_what_to_write() {
    let errors = check();
    for (case, expected) in CASES {
        let errors = errors.get(*case).map_or("", String::as_str);
        assert_eq!(errors.is_empty(), expected.is_empty(), "{case}: {errors}");
        for line in *expected {
            assert!(errors.contains(line), "{case} lacks {line:?}:\n{errors}");
        }
    }
}

/// The errors of all cases, from one run of cargo. What it compiles is kept below the target directory.
fn check() -> BTreeMap<String, String> {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&package).expect("the directory is ours");
    fs::write(package.join("Cargo.toml"), manifest(root)).expect("the directory is ours");
    // The versions that the crate itself is tested with; they are there without a network.
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).expect("a lock file");
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--keep-going", "--bins"])
        .arg("--message-format=json")
        .arg("--target-dir")
        .arg(package.join("target"))
        .current_dir(&package)
        .output()
        .expect("cargo runs");
    let mut errors = BTreeMap::<String, String>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).expect("JSON");
        if message["message"]["level"] != "error" {
            continue;
        }
        let case = message["target"]["name"].as_str().expect("a target");
        let text = message["message"]["rendered"].as_str().expect("a text");
        errors.entry(case.to_owned()).or_default().push_str(text);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.is_empty(), "cargo found no case: {stderr}");
    errors
}

fn manifest(root: &Path) -> String {
    let bin = |(case, _): &(&str, &[&str])| {
        let path = root.join(format!("tests/compile_fail/cases/{case}.rs"));
        format!("[[bin]]\nname = {case:?}\npath = {path:?}\n")
    };
    let bins: String = CASES.iter().map(bin).collect();
    format!(
        r#"
[package]
name = "compile-fail"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
axum = {{ version = "0.8", default-features = false }}
bytes = "1"
http = "1"
http-body-util = "0.1"
hyper = {{ version = "1", features = ["http1", "server"] }}
hyper-util = {{ version = "0.1", features = ["service", "tokio"] }}
tokio = {{ version = "1", features = ["io-util"] }}
tower = {{ version = "0.5", features = ["util"] }}
tower-http = {{ version = "0.6", features = ["limit", "map-request-body"] }}
tower-keep = {{ path = {root:?}, default-features = false, features = ["axum", "macros"] }}

{bins}"#
    )
}

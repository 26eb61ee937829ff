//! The pages match the code: every name and metric is documented, and every table on a page is valid.

use crate::Table;

const TABLE: &str = include_str!("table.md");

/// The code blocks of a page in `language`.
fn code_blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&*fence).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// The names that serde accepts after `before`, from its error for an unknown one.
fn accepted_names(before: &str, unknown: &str) -> Vec<String> {
    let error = Table::from_toml(&format!("{before}{unknown}")).expect_err("an unknown name");
    let error = error.to_string();
    let (_, names) = error.split_once("expected ").expect("a list of names");
    let names = names.split('`').skip(1).step_by(2).map(str::to_owned);
    names.collect()
}

#[test]
fn the_page_documents_every_name_of_the_table() {
    let field = "zzzzzzzzzz = 1";
    let route = "[[route]]\npath = \"/a\"\n";
    let limit = "[[limit]]\nname = \"a\"\nlimit = 1\nwindow = 1\n";
    let mut names = Vec::from(["default", "max", "jitter"].map(str::to_owned));
    for before in [
        "",
        "[local]\n",
        "[store]\n",
        "[behind]\n",
        "[identity]\n",
        "[[value]]\nkey = \"a\"\n",
        route,
        limit,
    ] {
        names.extend(accepted_names(before, field));
    }
    for (before, name) in [
        ("", "unlisted"),
        ("", "rate_limit"),
        (route, "scope"),
        (route, "request_directives"),
        (route, "write"),
        (route, "through"),
        (route, "pending"),
        ("[behind]\n", "after_dead"),
        (route, "grpc"),
        (limit, "algorithm"),
        (limit, "on_error"),
    ] {
        let values = accepted_names(before, &format!("{name} = \"zzzzzzzzzz\""));
        names.extend(values.into_iter().map(|value| format!("\"{value}\"")));
    }
    assert!(names.len() > 95, "{names:?}");
    let headings = ["ttl", "version", "local", "store", "behind", "identity"];
    for name in names {
        let row = if headings.contains(&&*name) {
            format!("# `[{name}]`")
        } else if ["route", "value", "limit"].contains(&&*name)
            && TABLE.contains(&format!("# `[[{name}]]`"))
        {
            continue;
        } else {
            format!("`{name}`")
        };
        assert!(TABLE.contains(&row), "{row} is not on the page");
    }
    let examples = code_blocks(TABLE, "toml").concat();
    for line in TABLE.lines().filter(|line| line.starts_with("| `")) {
        let name = line.split('`').nth(1).unwrap_or_default();
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b"_6".contains(&b));
        let shown = examples.contains(&format!("\n{name} = ")) || examples.starts_with(name);
        // `lease` has no effect yet.
        assert!(shown || !plain || name == "lease", "{name} has no example");
    }
}

#[test]
fn tables_on_pages_are_valid() {
    for page in [
        TABLE,
        include_str!("layers.md"),
        include_str!("redis_py.md"),
    ] {
        for block in code_blocks(page, "toml") {
            if let Err(error) = Table::from_toml(block) {
                panic!("{error}: {block}");
            }
        }
    }
    let readme = code_blocks(include_str!("../../README.md"), "toml");
    let tables = readme.iter().filter(|block| block.contains("[[route]]"));
    let mut checked = 0;
    for block in tables {
        let table = Table::from_toml(block).expect(block);
        assert!(table.check().is_empty(), "{:?}", table.check());
        checked += 1;
    }
    assert_eq!(checked, 1, "the README has a table");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn the_page_lists_exactly_the_registered_metrics() {
    use std::{collections::BTreeSet, time::Duration};

    use metrics_util::debugging::DebuggingRecorder;

    use crate::{Keep, Limit, RedisStore, support::RedisServer};

    let server = RedisServer::start();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let table = Table::new().limit(Limit::new("api", 1, Duration::from_secs(1)));
    let recording = metrics::set_default_local_recorder(&recorder);
    let store = RedisStore::connect(&server.url()).await.expect("connects");
    let keep = Keep::with_store(table, store).await.expect("a valid table");
    drop(recording);
    drop(keep);
    let registered: BTreeSet<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, ..)| key.key().name().to_owned())
        .collect();
    let described: BTreeSet<_> = include_str!("operations.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `tower_keep_"))
        .filter_map(|rest| rest.split('`').next())
        .map(|name| format!("tower_keep_{name}"))
        .collect();
    assert_eq!(registered, described);
}

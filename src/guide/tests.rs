//! The page on metrics names those that there are, and no others.

use std::{collections::BTreeSet, time::Duration};

use metrics_util::debugging::DebuggingRecorder;

use crate::{Keep, Limit, RedisStore, Table, support::RedisServer};

#[tokio::test]
async fn every_metric_is_on_the_page() {
    let server = RedisServer::start();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let table = Table::new().limit(Limit::new("api", 1, Duration::from_secs(1)));
    let recording = metrics::set_default_local_recorder(&recorder);
    let store = RedisStore::connect(&server.url()).await.expect("connects");
    let keep = Keep::with_store(table, store).await.expect("a right table");
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

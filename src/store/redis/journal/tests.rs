//! The journal on a real Redis; what both journals do stands in `store::journal_contract`.

use std::{sync::Arc, time::Duration};

use super::{RedisJournal, epoch};
use crate::{
    store::{
        journal::{Draft, Journal, Kind, Position, Purge, Subject},
        redis::{Config, Connections},
    },
    support::{RedisServer, until},
};

async fn journal(server: &RedisServer) -> RedisJournal {
    let config = Config { deadline: Duration::from_secs(5), ..Config::default() };
    let connections = Connections::connect(&server.url(), config).await.expect("connects");
    RedisJournal::new(connections, "ns:", 1000)
}

fn draft(known: Position, names: &[&str]) -> Draft {
    let keys = names.iter().map(|name| Purge::hard(Subject::Key((*name).into())));
    Draft {
        known,
        kind: Kind::Invalidate,
        purges: keys.collect(),
        with_open: true,
    }
}

#[tokio::test]
async fn smoke() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let first = journal.append(&draft(Position::UNKNOWN, &["a", "b"])).await.expect("append");
    eprintln!("{first:?}");
    let second = journal.append(&draft(first.position, &["a"])).await.expect("append");
    let page = journal.sync(Position::UNKNOWN, 100).await.expect("sync");
    eprintln!("{second:?} {page:?} {}", server.command(&["KEYS", "*"]).text());
}

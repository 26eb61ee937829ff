//! Decisions in Redis, compared with a raw `EVALSHA` of the same script.

use std::sync::Arc;

use redis::Cmd;
use tokio::runtime::Builder;
use tower_keep::{Keep, Key, Table};

use super::{
    recorded_call::{QUOTA, recorded_call},
    server_cpu,
    servers::RedisServer,
    subjects,
    support::{Load, beside, probing, raw::Raw, shared},
};

pub(crate) fn run() {
    if probing() {
        return;
    }
    // One thread for this process; the other core is for the server.
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(compare());
}

async fn compare() {
    let server = RedisServer::start();
    let keep = shared::keep(&server.url(), Table::new()).await;
    let call = recorded_call(&server, &keep, QUOTA).await;
    let raw = Raw::connect(&server.url()).await;
    let names: Arc<[String]> = (0..subjects()).map(|i| format!("user-{i:08}")).collect();
    for in_flight in [64, 256] {
        let title = "a decision in Redis (goal: 95 % of raw EVALSHA)";
        let loads = [evalsha(&raw, &call, &names), decision(&keep, &names)];
        beside(title, in_flight, &loads).await;
    }
    server_cpu::compare(&server, &keep, &raw, &names).await;
}

fn evalsha(raw: &Raw, call: &[Vec<u8>], names: &Arc<[String]>) -> Load<'static> {
    let (raw, names) = (raw.clone(), Arc::clone(names));
    let call: Arc<[Vec<u8>]> = call.into();
    Load::new("raw EVALSHA", move |i| {
        let raw = raw.clone();
        let key = ["ratelimit:api:{", &names[i as usize % names.len()], "}"].concat();
        let mut command = Cmd::new();
        command.arg(&call[..3]).arg(key).arg(&call[4..]);
        async move {
            raw.send(command).await;
        }
    })
}

fn decision(keep: &Keep, names: &Arc<[String]>) -> Load<'static> {
    let (keep, names) = (keep.clone(), Arc::clone(names));
    Load::new("Keep::rate_limit", move |i| {
        let keep = keep.clone();
        let key = Key::new("api").id(&names[i as usize % names.len()]);
        async move {
            assert!(keep.rate_limit(&key, QUOTA).await.allowed());
        }
    })
}

//! Checks whether a Redis can keep the promise of the queue.

use redis::Cmd;

use crate::{
    error::{Error, Kind},
    store::redis::{client::RedisClient, command::Command, topology::Primary},
    write_queue::Durability,
};

/// # Errors
///
/// Says what a server lacks and what to write instead; or unavailable.
pub(super) async fn check(client: &RedisClient, durability: Durability) -> Result<(), Error> {
    for primary in client.primaries().await? {
        let info = redis::cmd("INFO");
        let info: String = client.query_at(&primary, Command::Sync, &info).await?;
        let problem = problem(&info, durability);
        if let Some(problem) = problem {
            return Err(Error::new(Kind::Refused, problem));
        }
        if durability == Durability::Fsync {
            check_waitaof(client, &primary).await?;
        }
    }
    Ok(())
}

/// Sends a `WAITAOF` that waits for nothing.
async fn check_waitaof(client: &RedisClient, primary: &Primary) -> Result<(), Error> {
    let mut wait = Cmd::new();
    wait.arg("WAITAOF").arg(0).arg(0).arg(1);
    let reply: Result<(u64, u64), Error> = client.query_at(primary, Command::Sync, &wait).await;
    match reply {
        Err(error) if error.is_refused() => Err(Error::new(
            Kind::Refused,
            "`durable = \"fsync\"` needs WAITAOF, which this redis refuses: use Redis 7.2 or Valkey and \
             allow the command, or write durable = \"memory\" or \"replicas:1\"",
        )
        .with_shown_cause(error)),
        reply => reply.map(drop),
    }
}

/// What a server lacks, by its reply to `INFO`.
fn problem(info: &str, durability: Durability) -> Option<String> {
    let value = |name: &str| {
        let line = |line: &'_ str| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
        info.lines().find_map(|text| line(text.trim_end()))
    };
    let policy = value("maxmemory_policy").unwrap_or_default();
    if policy.starts_with("allkeys-") {
        return Some(format!(
            "redis may evict accepted writes: its maxmemory-policy is {policy}; set noeviction or a \
             volatile-* policy, or take write = \"behind\" out of the table"
        ));
    }
    match durability {
        Durability::Fsync if value("aof_enabled").is_none_or(|enabled| enabled != "1") => Some(
            "`durable = \"fsync\"` needs an append-only file: set appendonly yes in redis, or write \
             durable = \"memory\""
                .to_owned(),
        ),
        Durability::Replicas(asked) => {
            let online = |line: &&str| line.starts_with("slave") && line.contains("state=online");
            let found = info.lines().filter(online).count();
            (found < usize::from(asked)).then(|| {
                format!(
                    "`durable = \"replicas:{asked}\"` needs as many replicas in step, and redis has \
                     {found}: add replicas, or write a lower number"
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_keep_the_promise_is_named() {
        let info = "maxmemory_policy:volatile-lru\r\naof_enabled:1\r\n\
                    slave0:ip=1,port=1,state=online,offset=1\r\nslave1:ip=2,state=wait_bgsave\r\n";
        for durability in [
            Durability::Memory,
            Durability::Fsync,
            Durability::Replicas(1),
        ] {
            assert_eq!(problem(info, durability), None);
        }
        let two = problem(info, Durability::Replicas(2)).expect("a problem");
        assert!(two.contains("has 1"), "{two}");
        let no_file = info.replace("aof_enabled:1", "aof_enabled:0");
        assert!(problem(&no_file, Durability::Fsync).is_some());
        let evicting = info.replace("volatile-lru", "allkeys-lfu");
        let evicts = problem(&evicting, Durability::Memory).expect("a problem");
        assert!(evicts.contains("allkeys-lfu"), "{evicts}");
    }
}

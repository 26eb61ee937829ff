//! Limits on real servers.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::{StreamExt, stream};

use super::*;
use crate::{
    quota::{
        Algorithm, Quota,
        tests::{ALGORITHMS, random_cost, random_quota, random_step},
    },
    store::{
        contracts::limits::suite::{self, START, rule},
        redis::config::Config,
    },
    support::{RedisCluster, RedisServer, Reply},
};

impl RedisLimits {
    async fn connect(url: &str) -> Self {
        let config = Config {
            deadline: Duration::from_secs(20),
            ..Config::default()
        };
        let client = RedisClient::connect(url, config).await.expect("connects");
        Self::new(client, "")
    }

    /// A store for [`at`](Self::at), whose keys outlive the test at any simulated time.
    async fn simulated(url: &str) -> Self {
        let acquire = include_str!("acquire.lua").replace("'PX', ttl", "'PX', ttl + 3600000");
        let mut limits = Self::connect(url).await;
        limits.acquire = Box::leak(Box::new(Script::new(acquire.leak())));
        limits
    }

    /// Adds the simulated time, if there is one.
    pub(super) fn with_time(&self, call: ScriptCall) -> ScriptCall {
        match self.now {
            Some(now) => call.arg(now.to_string()),
            None => call,
        }
    }

    /// The store at a simulated time in microseconds.
    fn at(&self, now: u64) -> Self {
        Self {
            now: Some(now),
            ..self.clone()
        }
    }
}

#[tokio::test]
async fn behaves_as_limits() {
    let server = RedisServer::start();
    let limits = RedisLimits::simulated(&server.url()).await;
    suite::run(&|| {
        let limits = limits.clone();
        Box::new(move |now| Arc::new(limits.at(now)))
    })
    .await;
}

/// The server's clock also steps back.
#[tokio::test]
async fn mixed_rules_are_decided_as_by_the_functions() {
    let server = RedisServer::start();
    let limits = RedisLimits::simulated(&server.url()).await;
    let sequence = |seed| mixed_rules(&limits, seed);
    stream::iter(0..2_000)
        .for_each_concurrent(256, sequence)
        .await;
}

async fn mixed_rules(limits: &RedisLimits, seed: u64) {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let names = ["a", "b", "c", "d"];
    let mut rules: Vec<Rule<'_>> = names
        .iter()
        .take(rng.usize(1..=4))
        .map(|name| {
            let algorithm = ALGORITHMS[rng.usize(..3)];
            let mut rule = rule(name, random_quota(rng, algorithm), 1);
            rule.charge.shadow = rng.u8(..4) == 0;
            rule
        })
        .collect();
    let subject = format!("mixed-{seed}");
    let mut states: Vec<Option<QuotaState>> = vec![None; rules.len()];
    let mut now = START;
    for step in 0..20 {
        now += random_step(rng, &rules[0].charge.quota);
        if rng.u8(..12) == 0 {
            now -= rng.u64(0..3_600_000_000); // The clock steps back.
        }
        if rng.u8(..12) == 0 {
            // The quota is changed.
            let algorithm = ALGORITHMS[rng.usize(..3)];
            rules[0].charge.quota = random_quota(rng, algorithm);
        }
        for rule in &mut rules {
            rule.charge.cost = random_cost(rng, &rule.charge.quota);
        }
        let charges = rules.iter().map(|rule| rule.charge);
        let states_now = charges.zip(states.iter().cloned());
        let mut decided: Vec<_> = states_now
            .map(|(charge, state): (Charge, Option<QuotaState>)| {
                let fresh = || QuotaState::fresh(&charge.quota, now);
                (charge, state.unwrap_or_else(fresh))
            })
            .collect();
        let expected = CombinedDecision::decide(now, &mut decided);
        let verdict = limits.at(now).acquire(subject.as_bytes(), &rules).await;
        let verdict = verdict.expect("a verdict");
        let context = format!("seed {seed} step {step} {rules:?} {states:?}");
        assert_eq!(verdict, expected, "{context}");
        for (state, ((charge, after), ruling)) in states
            .iter_mut()
            .zip(decided.into_iter().zip(&verdict.by_rule))
        {
            // A state of another algorithm is replaced when something is charged.
            let is_sliding = charge.quota.algorithm() == Algorithm::SlidingWindow;
            let was_sliding = matches!(state, Some(QuotaState::SlidingWindow(_)));
            if ruling.charged || is_sliding && was_sliding {
                *state = Some(after);
            }
        }
        if rng.u8(..3) == 0 {
            let charged = rules.iter().zip(&verdict.by_rule);
            let refunds: Vec<Refund<'_>> = charged
                .filter(|(_, ruling)| ruling.charged)
                .map(|(rule, ruling)| Refund {
                    limit: rule.limit,
                    quota: rule.charge.quota,
                    cost: rule.charge.cost,
                    anchor: ruling.anchor,
                })
                .collect();
            if refunds.is_empty() {
                continue;
            }
            now += random_step(rng, &rules[0].charge.quota);
            let refunded = limits.at(now).refund(subject.as_bytes(), &refunds).await;
            refunded.expect("refunded");
            for refund in refunds {
                let at = names.iter().position(|n| *n == refund.limit.name);
                let state = &mut states[at.expect("one of the rules")];
                let state = state.as_mut().expect("charged");
                state.refund(&refund.quota, now, refund.anchor, refund.cost);
            }
        }
    }
}

#[tokio::test]
async fn one_command_decides_any_number_of_limits() {
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let quota = Quota::per_day(1000);
    let rules = ["a", "b", "c", "d", "e"].map(|name| rule(name, quota, 1));
    limits
        .acquire(b"u", &rules)
        .await
        .expect("loads the script");
    let before = server.calls("evalsha");
    limits.acquire(b"u", &rules).await.expect("a verdict");
    limits.acquire(b"u", &rules[..1]).await.expect("a verdict");
    assert_eq!(server.calls("evalsha") - before, 2);
    assert_eq!(server.calls("eval"), 1);
}

#[tokio::test]
async fn keys_are_as_documented_and_expire() {
    let server = RedisServer::start();
    let mut limits = RedisLimits::connect(&server.url()).await;
    limits.namespace = "app:".into();
    let mut by_route = rule("api", Quota::per_minute(9), 1);
    by_route.limit.rest = b":%2Forders%2F%7Bid%7D";
    let rules = [
        rule("api", Quota::per_minute(9), 1),
        by_route,
        rule("", Quota::per_minute(9), 1),
    ];
    limits
        .acquire(b"user-123", &rules)
        .await
        .expect("a verdict");
    let rng = &mut fastrand::Rng::with_seed(7);
    for n in 0..300 {
        let quota = random_quota(rng, ALGORITHMS[n % 3]);
        let rules = [rule("random", quota, 1)];
        let subject = n.to_string();
        for _ in 0..2 {
            let verdict = limits
                .acquire(subject.as_bytes(), &rules)
                .await
                .expect("a verdict");
            if !verdict.by_rule[0].charged {
                continue;
            }
            // The key outlives the meaning of its counter,
            let key = format!("app:ratelimit:random:{{{n}}}");
            let left = server.command(&["PTTL", &key]).text();
            let mut state = QuotaState::fresh(&quota, verdict.now);
            state.decide(&quota, verdict.now, Some(1));
            let meaningful = state.expires(&quota) - verdict.now;
            let left: i64 = left.parse().expect("milliseconds");
            // but not for much longer.
            let refilled = u128::from(quota.capacity()) * u128::from(quota.window_micros());
            let longest = 2 * refilled.div_ceil(u128::from(quota.limit()));
            let longest = longest.max(2 * u128::from(quota.window_micros()));
            assert!(i128::from(left) * 1000 < longest as i128 + 1_100_000);
            if meaningful > 2_000_000 {
                assert!(
                    left * 1000 + 2_000_000 > i64::try_from(meaningful).expect("fits"),
                    "{quota:?}"
                );
            }
        }
    }
    let keys = server.command(&["KEYS", "*"]).text();
    for key in [
        "app:ratelimit:api:{user-123}",
        "app:ratelimit:api:{user-123}:%2Forders%2F%7Bid%7D",
        "app:ratelimit:{user-123}",
    ] {
        assert!(keys.lines().any(|line| line == key), "{key} in {keys}");
    }
    for key in keys.lines() {
        let left: i64 = server
            .command(&["PTTL", key])
            .text()
            .parse()
            .expect("a number");
        assert!(left > 0 || left == -2, "{key} never expires");
    }
}

#[tokio::test]
async fn a_foreign_value_is_replaced_by_a_new_counter() {
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let key = "ratelimit:api:{u}";
    let nan = [&b"s"[..], &f64::NAN.to_le_bytes(), &[0; 16]].concat();
    let huge = [
        &b"s"[..],
        &1e300_f64.to_le_bytes(),
        &1e300_f64.to_le_bytes(),
        &[0; 8],
    ]
    .concat();
    let half = [
        &b"g"[..],
        &0.5_f64.to_le_bytes(),
        &0.5_f64.to_le_bytes(),
        &[0; 8],
    ]
    .concat();
    let window = |first: u16, admissions: usize| {
        let trailer = [&first.to_le_bytes()[..], &[9; 14]].concat();
        [b"w".to_vec(), vec![7; 12 * admissions], trailer].concat()
    };
    let [passed, none, many] = [window(9, 9), window(0, 0), window(0, 5_000)];
    let earlier = [&b"s"[..], &1e15_f64.to_le_bytes(), &[0; 16]].concat();
    let foreign: [&[&[u8]]; 13] = [
        &[b"SET", key.as_bytes(), &passed],
        &[b"SET", key.as_bytes(), &none],
        &[b"SET", key.as_bytes(), &many],
        &[b"SET", key.as_bytes(), &earlier],
        &[b"SET", key.as_bytes(), b"foreign"],
        &[b"SET", key.as_bytes(), b""],
        &[b"SET", key.as_bytes(), &[0xff; 25]],
        &[b"SET", key.as_bytes(), &nan],
        &[b"SET", key.as_bytes(), &huge],
        &[b"SET", key.as_bytes(), &half],
        &[b"SETRANGE", key.as_bytes(), b"5000000", b"x"],
        &[b"RPUSH", key.as_bytes(), b"x"],
        &[b"HSET", key.as_bytes(), b"x", b"y"],
    ];
    for algorithm in ALGORITHMS {
        for command in foreign {
            server.command(&["DEL", key]);
            server.command(command);
            let rules = [rule("api", Quota::per_hour(3).counted_by(algorithm), 2)];
            let verdict = limits.acquire(b"u", &rules).await.expect("a verdict");
            let left = (verdict.admitted, verdict.by_rule[0].outcome.remaining);
            assert_eq!(left, (true, 1), "{algorithm:?} {command:?}");
            let verdict = limits.acquire(b"u", &rules).await.expect("a verdict");
            assert!(!verdict.admitted, "{algorithm:?} {command:?}");
            assert_ne!(server.command(&["PTTL", key]).text(), "-1");
        }
    }
}

#[tokio::test]
async fn a_damaged_counter_is_replaced() {
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let time = server.command(&["TIME"]).text();
    let seconds: f64 = time
        .lines()
        .next()
        .and_then(|s| s.parse().ok())
        .expect("seconds");
    // If it were valid, two of three would be used.
    let soon = seconds * 1e6 + 5e6;
    let damaged = [
        (soon + 0.5, 2.0, 0.0),
        (1e300, 2.0, 0.0),
        (-1.0, 2.0, 0.0),
        (soon, 2.5, 0.0),
        (soon, -2.0, 0.0),
        (soon, 2e13, 0.0),
        (soon, 2.0, f64::NAN),
        (soon, 2.0, 0.5),
    ];
    for algorithm in ALGORITHMS {
        let kind = match algorithm {
            Algorithm::SlidingWindow => b"w",
            Algorithm::FixedWindow => b"f",
            Algorithm::Gcra => b"g",
        };
        for (x, y, z) in damaged {
            let mut counter = kind.to_vec();
            for number in [x, y, z] {
                counter.extend_from_slice(&number.to_le_bytes());
            }
            server.command(&[&b"SET"[..], b"ratelimit:api:{u}", &counter]);
            let rules = [rule("api", Quota::per_hour(3).counted_by(algorithm), 2)];
            let verdict = limits.acquire(b"u", &rules).await.expect("a verdict");
            let left = (verdict.admitted, verdict.by_rule[0].outcome.remaining);
            assert_eq!(left, (true, 1), "{algorithm:?} {x} {y} {z}");
        }
    }
}

/// The counter of a sliding window, as it is in Redis.
fn counter(admissions: &[(u64, u64)], first: u16, used: u64, expires: u64) -> Vec<u8> {
    let mut bytes = b"w".to_vec();
    for (time, cost) in admissions {
        bytes.extend_from_slice(&time.to_le_bytes()[..7]);
        bytes.extend_from_slice(&cost.to_le_bytes()[..5]);
    }
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&used.to_le_bytes()[..7]);
    bytes.extend_from_slice(&expires.to_le_bytes()[..7]);
    bytes
}

#[tokio::test]
async fn planted_windows_are_used_up() {
    let server = RedisServer::start();
    let limits = RedisLimits::simulated(&server.url()).await;
    let rng = &mut fastrand::Rng::with_seed(17);
    for n in 0..1_500 {
        let quota = random_quota(rng, Algorithm::SlidingWindow);
        let window = quota.window_micros();
        let number = |rng: &mut fastrand::Rng| match rng.u8(..4) {
            0 => rng.u64(0..3),
            1 => rng.u64(0..=1 << 40),
            2 => (1 << 56) - 1,
            _ => START + 2 * window - rng.u64(0..4 * window).min(START),
        };
        let admissions: Vec<_> = (0..rng.usize(1..40))
            .map(|_| (number(rng), number(rng)))
            .collect();
        let (first, used, expires) = (rng.u16(..30), number(rng), number(rng));
        let mut planted = counter(&admissions, first, used, expires);
        if n % 3 == 0 {
            rng.fill(&mut planted[1..]);
        }
        let subject = format!("planted-{n}");
        let key = format!("ratelimit:api:{{{subject}}}");
        server.command(&[&b"SET"[..], key.as_bytes(), &planted]);
        let mut now = START;
        for _ in 0..8 {
            let rules = [rule("api", quota, random_cost(rng, &quota))];
            let at = limits.at(now);
            let verdict = at.acquire(subject.as_bytes(), &rules).await;
            let outcome = verdict.expect("a verdict").by_rule[0].outcome;
            let waits = [outcome.retry_after, outcome.more_after];
            let in_window = |wait: &u64| (1..=window).contains(wait);
            assert!(
                waits.iter().flatten().all(|w| *w == 0 || in_window(w)),
                "{quota:?} {outcome:?}"
            );
            at.peek(subject.as_bytes(), &rules).await.expect("a peek");
            let refund = Refund {
                limit: rules[0].limit,
                quota,
                cost: 1,
                anchor: number(rng),
            };
            let refunded = at.refund(subject.as_bytes(), &[refund]).await;
            refunded.expect("refunded");
            now += rng.u64(0..=window / 4);
        }
        // A time in the future is found when those before it have passed.
        let mut admitted = false;
        for _ in 0..admissions.len() + 2 {
            let rules = [rule("api", quota, quota.limit())];
            let verdict = limits.at(now).acquire(subject.as_bytes(), &rules).await;
            admitted |= verdict.expect("a verdict").admitted;
            now += window;
        }
        assert!(admitted || quota.limit() == 0, "{quota:?} {admissions:?}");
    }
}

#[tokio::test]
async fn a_counter_in_redis_stays_small() {
    let server = RedisServer::start();
    let limits = RedisLimits::simulated(&server.url()).await;
    for (limit, most) in [(1_u32, 250), (5, 300), (128, 1_800), (10_000, 1_000)] {
        let rule = rule("size", Quota::per_minute(limit), 1);
        let subject = limit.to_string();
        let key = format!("ratelimit:size:{{{limit}}}");
        // Three windows, nearly at the limit's rate, or in each sub-window.
        let step = 60_000_000 * 65 / 64 / u64::from(limit.min(200)) + 1;
        for n in 0..3 * u64::from(limit.min(200)) {
            let now = START + n * step;
            let verdict = limits.at(now).acquire(subject.as_bytes(), &[rule]).await;
            assert!(verdict.expect("a verdict").admitted, "{limit} {n}");
            let size = server.command(&["STRLEN", &key]).text();
            assert!(
                size.parse::<u64>().expect("bytes") <= most,
                "{limit}: {size}"
            );
        }
        let usage = server.command(&["MEMORY", "USAGE", &key]).text();
        eprintln!("{limit} a minute: {usage} bytes");
    }
}

#[tokio::test]
async fn only_the_server_s_clock_counts() {
    // Regression: each process used its own clock, and limits admitted more, the more the clocks
    // differed.
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let rules = ["a", "b"].map(|name| rule(name, Quota::per_minute(9), 1));
    limits
        .acquire(b"u", &rules)
        .await
        .expect("loads the script");
    server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    limits.acquire(b"u", &rules).await.expect("a verdict");
    let Reply::Array(log) = server.command(&["SLOWLOG", "GET", "-1"]) else {
        panic!("no slow log");
    };
    let commands = log.into_iter().filter_map(|entry| match entry {
        Reply::Array(fields) => fields.into_iter().nth(3),
        _ => None,
    });
    let mut commands = commands.map(|command| command.strings());
    let sent = commands.find(|words| words[0] == "EVALSHA");
    let sent = sent.expect("one decision is one command");
    assert_eq!(sent[3..5], ["ratelimit:a:{u}", "ratelimit:b:{u}"]);
    assert_eq!(sent[5..].len(), 2, "the rules only: {sent:?}");
}

#[tokio::test]
async fn decisions_and_refunds_need_only_the_documented_commands() {
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let guide = include_str!("../../../guide/redis.md");
    let documented = guide.split_whitespace().filter(|word| {
        let command = word.strip_prefix('+');
        command.is_some_and(|command| command.starts_with(|c: char| c.is_ascii_lowercase()))
    });
    let mut user = vec!["ACL", "SETUSER", "default", "-@all"];
    user.extend(documented);
    assert!(user.contains(&"+setrange"), "{user:?}");
    server.command(&user);
    let quotas = [Quota::per_minute(2), Quota::per_minute(200)];
    for (n, quota) in quotas.into_iter().enumerate() {
        let subject = n.to_string().into_bytes();
        let half = rule("api", quota, quota.limit() / 2);
        for expected in [2, 1] {
            // Each refund but the last leaves another admission.
            let mut refunds = Vec::new();
            for _ in 0..expected {
                let verdict = limits.acquire(&subject, &[half]).await;
                let ruling = verdict.expect("a verdict").by_rule[0];
                assert!(ruling.charged);
                refunds.push(ruling.anchor);
            }
            for anchor in refunds {
                let refund = Refund {
                    limit: half.limit,
                    quota,
                    cost: half.charge.cost,
                    anchor,
                };
                limits.refund(&subject, &[refund]).await.expect("refunded");
            }
            let left = limits.peek(&subject, &[half]).await.expect("a verdict");
            assert_eq!(left.by_rule[0].outcome.remaining, quota.limit());
        }
        limits.reset(&subject, &[half]).await.expect("reset");
    }
}

#[tokio::test]
async fn a_reset_unlinks_its_keys_without_a_scan() {
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let rules = ["a", "b"].map(|name| rule(name, Quota::per_minute(9), 1));
    for subject in [b"u", b"v"] {
        limits.acquire(subject, &rules).await.expect("a verdict");
    }
    let before = ["unlink", "scan", "keys", "eval", "evalsha"].map(|name| server.calls(name));
    limits.reset(b"u", &rules).await.expect("reset");
    let after = ["unlink", "scan", "keys", "eval", "evalsha"].map(|name| server.calls(name));
    assert_eq!(after[0] - before[0], 1);
    assert_eq!(after[1..], before[1..]);
    let left = server.command(&["KEYS", "*"]).strings();
    assert!(left.iter().all(|key| key.contains("{v}")), "{left:?}");
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn a_refund_of_an_unknown_counter_creates_no_key() {
    let server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let quota = Quota::per_minute(3);
    let limit = Counter {
        name: "api",
        rest: b"",
    };
    let refund = Refund {
        limit,
        quota,
        cost: 1,
        anchor: START,
    };
    limits.refund(b"u", &[refund]).await.expect("no error");
    assert_eq!(server.command(&["DBSIZE"]).text(), "0");
    limits
        .acquire(b"u", &[rule("api", quota, 1)])
        .await
        .expect("a verdict");
    limits
        .reset(b"u", &[rule("api", quota, 1)])
        .await
        .expect("reset");
    assert_eq!(server.command(&["DBSIZE"]).text(), "0");
}

#[tokio::test]
async fn limits_survive_flushed_scripts_and_a_restart() {
    let mut server = RedisServer::start();
    let limits = RedisLimits::connect(&server.url()).await;
    let rules = [rule("api", Quota::per_minute(100), 1)];
    for _ in 0..3 {
        limits.acquire(b"u", &rules).await.expect("a verdict");
        server.command(&["SCRIPT", "FLUSH"]);
    }
    let left = limits.peek(b"u", &rules).await.expect("a verdict").by_rule[0].outcome;
    assert_eq!(left.remaining, 97);
    server.kill();
    let error = limits.acquire(b"u", &rules).await.expect_err("killed");
    assert!(error.is_unavailable());
    server.restart();
    crate::support::until("the connection", || async {
        limits.acquire(b"u", &rules).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_cluster_spreads_subjects_and_keeps_each_in_one_slot() {
    let cluster = RedisCluster::start();
    let limits = RedisLimits::connect(&cluster.url()).await;
    let mut by_route = rule("route", Quota::per_minute(2), 1);
    by_route.limit.rest = b":%2Fusers%2F%7Bid%7D";
    let rules = [
        rule("api", Quota::per_second(9), 1),
        rule("day", Quota::per_day(9), 1),
        by_route,
    ];
    for n in 0..200 {
        let subject = format!("user-{n}");
        for expected in [true, true, false] {
            let verdict = limits
                .acquire(subject.as_bytes(), &rules)
                .await
                .expect("one slot");
            assert_eq!(verdict.admitted, expected);
        }
    }
    for node in cluster.nodes() {
        let keys: u64 = node.command(&["DBSIZE"]).text().parse().expect("a number");
        assert!(keys > 60, "{keys} keys of 600 on one of three nodes");
    }
}

/// One process of the test below. Does nothing unless the variable is set.
#[tokio::test]
async fn hammering_process() {
    let Ok(url) = std::env::var("TOWER_KEEP_HAMMER") else {
        return;
    };
    let limits = RedisLimits::connect(&url).await;
    let mut admitted = [0; 3];
    println!("\nready");
    std::io::stdin()
        .read_line(&mut String::new())
        .expect("a line");
    for (algorithm, admitted) in ALGORITHMS.into_iter().zip(&mut admitted) {
        let name = format!("{algorithm:?}");
        let rules = [rule(&name, hammered(algorithm), 1)];
        let one = |_| limits.acquire(b"u", &rules);
        let verdicts: Vec<_> = stream::iter(0..600)
            .map(one)
            .buffer_unordered(32)
            .collect()
            .await;
        for verdict in verdicts {
            *admitted += u32::from(verdict.expect("a verdict").admitted);
        }
    }
    println!("\nadmitted {} {} {}", admitted[0], admitted[1], admitted[2]);
}

fn hammered(algorithm: Algorithm) -> Quota {
    let day = Quota::per_day(1_000);
    match algorithm {
        Algorithm::Gcra => day.burst(1_000),
        _ => day.counted_by(algorithm),
    }
}

#[test]
fn eight_concurrent_processes_never_exceed_the_limit() {
    let server = RedisServer::start();
    let this = std::env::current_exe().expect("the test binary");
    let name = concat!(module_path!(), "::hammering_process");
    let name = name.split_once("::").expect("below the crate").1;
    let mut processes: Vec<_> = (0..8)
        .map(|_| {
            Command::new(&this)
                .args(["--exact", name, "--nocapture"])
                .env("TOWER_KEEP_HAMMER", server.url())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts")
        })
        .collect();
    let mut outputs: Vec<_> = processes
        .iter_mut()
        .map(|p| BufReader::new(p.stdout.take().expect("piped")).lines())
        .collect();
    for output in &mut outputs {
        let ready = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|l| l == "ready");
        assert!(output.any(|line| ready(&line)));
    }
    for process in &mut processes {
        let go = process.stdin.as_mut().expect("piped").write_all(b"go\n");
        go.expect("started");
    }
    let mut admitted = [0; 3];
    for output in &mut outputs {
        let counts = output.map_while(Result::ok).find_map(|line| {
            let line = line.strip_prefix("admitted ")?.to_owned();
            Some(
                line.split(' ')
                    .map(|n| n.parse::<u32>().expect("a number"))
                    .collect::<Vec<_>>(),
            )
        });
        for (sum, n) in admitted.iter_mut().zip(counts.expect("a count")) {
            *sum += n;
        }
    }
    for mut process in processes {
        assert!(process.wait().expect("ends").success());
    }
    // 1,000 a day: GCRA frees one in 86 seconds, the others none while the test runs.
    assert_eq!(admitted[..2], [1_000, 1_000]);
    assert!((1_000..=1_001).contains(&admitted[2]), "{admitted:?}");
}

//! The cases, in groups.

use std::{hint::black_box, num::NonZeroU32};

use governor::{DefaultKeyedRateLimiter, Quota as GovernorQuota};
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use http::{Request, Uri};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Key, Limit, RateLimitLayer, Table,
    keep::Invalidation,
    rate_limit::Quota,
    table::{Algorithm, secs},
};

use super::{
    kit::{self, Warm},
    support::{
        inner::{Inner, request, response_of},
        poll_ready,
    },
};

/// How many operations each case runs while it is counted.
pub(super) const OPERATIONS: u64 = 1000;

const KEYS: usize = 500;
const TARGETS: usize = 10_000;
const PLENTY: u32 = 1_000_000_000;

/// Runs an operation `n` times.
type Operation = Box<dyn FnMut(u64)>;

library_benchmark_group!(
    name = pass,
    compare_by_id = true,
    benchmarks = [pass_inner, pass_cache, pass_invalidate, pass_rate_limit]
);

library_benchmark_group!(
    name = hit,
    compare_by_id = true,
    benchmarks = [hit_inner, hit_local]
);

library_benchmark_group!(
    name = fence,
    compare_by_id = true,
    benchmarks = [
        fence_nothing_invalidated,
        fence_checked_before,
        fence_checked_again
    ]
);

library_benchmark_group!(
    name = decision,
    compare_by_id = true,
    benchmarks = [
        decision_governor,
        decision_sliding_window,
        decision_fixed_window,
        decision_gcra,
        decision_refused
    ]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::default().format([EventKind::Ir])),
    library_benchmark_groups = [pass, hit, fence, decision]
);

pub(super) fn run() {
    main();
}

#[library_benchmark]
#[bench::get(warm(pass(Inner::new(1024))))]
fn pass_inner(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::get(warm(pass(CacheLayer::new(&keep()).layer(Inner::new(1024)))))]
fn pass_cache(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::get(warm(pass(InvalidateLayer::new(&keep()).layer(Inner::new(1024)))))]
fn pass_invalidate(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::get(warm(pass(RateLimitLayer::new(&keep()).layer(Inner::new(1024)))))]
fn pass_rate_limit(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::kib_1(warm(inner_only(1)))]
#[bench::kib_64(warm(inner_only(64)))]
fn hit_inner(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::kib_1(warm(local_hit(1)))]
#[bench::kib_64(warm(local_hit(64)))]
fn hit_local(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::hit(warm(local_hit(1)))]
fn fence_nothing_invalidated(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::hit(warm(busy_fence(false)))]
fn fence_checked_before(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::hit(warm(busy_fence(true)))]
fn fence_checked_again(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::admit(warm(governor()))]
fn decision_governor(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::admit(warm(decision(Quota::per_second(PLENTY))))]
fn decision_sliding_window(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::admit(warm(decision(Quota::per_second(PLENTY).counted_by(Algorithm::FixedWindow))))]
fn decision_fixed_window(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::admit(warm(decision(Quota::per_second(100).burst(PLENTY.into()))))]
fn decision_gcra(run: Operation) -> Operation {
    count(run)
}

#[library_benchmark]
#[bench::admit(warm(decision(Quota::per_day(1))))]
fn decision_refused(run: Operation) -> Operation {
    count(run)
}

/// The counted function. Returns the operation, so that dropping it is not counted.
fn count(mut run: Operation) -> Operation {
    run(OPERATIONS);
    run
}

/// The operation after enough runs that every key is in its final state.
fn warm(mut run: Operation) -> Operation {
    run(2 * OPERATIONS);
    run
}

/// A keep whose table and limits do not apply to the path of [`pass`].
fn keep() -> Keep {
    let limit = Limit::new("api", 1, secs(1)).path("/elsewhere");
    Keep::new(kit::table().limit(limit)).expect("a valid table")
}

fn pass<S>(mut service: S) -> Operation
where
    S: Service<Request<Full<bytes::Bytes>>> + 'static,
{
    let uri = Uri::from_static("/health");
    Box::new(move |n| {
        for _ in 0..n {
            drop(response_of(&mut service, request(&uri)));
        }
    })
}

fn inner_only(kib: usize) -> Operation {
    Box::new(kit::inner_only(
        &Inner::new(kib << 10).as_hit(),
        kit::uris(KEYS),
    ))
}

fn local_hit(kib: usize) -> Operation {
    let warm = Warm::new(kit::table(), KEYS, kib << 10);
    let mut hits = warm.hits();
    Box::new(move |n| {
        hits(n);
        let _keep_alive = &warm;
    })
}

/// Hits while [`TARGETS`] targets are invalidated. With `recheck`, another invalidation follows each round of the keys, so
/// that every hit is checked again.
fn busy_fence(recheck: bool) -> Operation {
    let warm = Warm::new(kit::table(), KEYS, 1024);
    let invalidate = |warm: &Warm, i: usize| {
        let invalidation = Invalidation::key(&Key::new("agent").id(i % TARGETS));
        let invalidated = warm.block_on(warm.keep.invalidate([invalidation]).into_future());
        invalidated.expect("a keep in one process");
    };
    for i in 0..TARGETS {
        invalidate(&warm, i);
    }
    let (mut hits, mut done) = (warm.hits(), 0);
    Box::new(move |n| {
        for _ in 0..n {
            hits(1);
            done += 1;
            if recheck && done % KEYS == 0 {
                invalidate(&warm, done / KEYS);
            }
        }
    })
}

fn names() -> Vec<String> {
    (0..KEYS).map(|i| format!("user-{i:08}")).collect()
}

fn governor() -> Operation {
    let quota = GovernorQuota::per_second(NonZeroU32::new(PLENTY).expect("not zero"));
    let limiter = DefaultKeyedRateLimiter::<String>::keyed(quota);
    let (names, mut at) = (names(), 0);
    Box::new(move |n| {
        for _ in 0..n {
            at = (at + 1) % KEYS;
            let _ = black_box(limiter.check_key(&names[at]));
        }
    })
}

fn decision(quota: Quota) -> Operation {
    let keep = Keep::new(Table::new()).expect("a valid table");
    let keys: Vec<Key> = names()
        .iter()
        .map(|name| Key::new("api").id(name))
        .collect();
    let mut at = 0;
    Box::new(move |n| {
        for _ in 0..n {
            at = (at + 1) % KEYS;
            black_box(poll_ready(keep.rate_limit(&keys[at], quota)));
        }
    })
}

//! The cost of the fence for a hit.

use tower_keep::{Key, keep::Invalidation};

use super::{
    kit::{self, Warm},
    support::{Case, compare, probing, share},
};

const TARGETS: usize = 10_000;

pub(crate) fn run() {
    let quiet = Warm::new(kit::table(), kit::keys(), 1024);
    let busy = Warm::new(kit::table(), kit::keys(), 1024);
    busy.block_on(async {
        for i in 0..TARGETS {
            invalidate(&busy, i).await;
        }
    });
    let (mut hits, mut i) = (busy.hits(), 0);
    let every = busy.uris.len() as u64;
    let mut since = 0;
    compare(
        "the fence (goal: at most 0.25 of a hit more with 10,000 live targets)",
        vec![
            Case::new("local hit, nothing invalidated", quiet.hits()),
            Case::new("local hit, 10,000 targets, checked before", busy.hits()),
            Case::new("local hit, 10,000 targets, checked again", |n| {
                // After an invalidation, the next use of every key is checked again.
                for _ in 0..n {
                    hits(1);
                    since += 1;
                    if since == every {
                        since = 0;
                        i = (i + 1) % TARGETS;
                        busy.block_on(invalidate(&busy, i));
                    }
                }
            }),
        ],
    );
    print_share("local hit, nothing invalidated");
    print_share("local hit, 10,000 targets, checked before");
}

fn print_share(case: &str) {
    let known = (!probing()).then(|| share(case, "fence")).flatten();
    if let Some((all, own)) = known {
        let percent = 100.0 * own / all;
        println!("  of which the fence: {own:.0} of {all:.0} instr, {percent:.1} % ({case})");
    }
}

async fn invalidate(warm: &Warm, i: usize) {
    let key = Key::new("agent").id(i);
    let invalidation = warm.keep.invalidate([Invalidation::key(&key)]);
    invalidation.await.expect("a keep in one process");
}

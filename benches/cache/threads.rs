//! Throughput of two threads, on one hot key and on many.

use super::{
    kit::{self, Warm},
    support::{inner::Inner, probing, scaling},
};

const N: u64 = 100_000;

pub(crate) fn run() {
    if probing() {
        return;
    }
    println!("\ntwo threads (goal: 1 x on one hot key, 1.8 x on 10,000)");
    let hot = Warm::new(kit::table(), 1, 1024);
    let many = Warm::new(kit::table(), kit::keys(), 1024);
    scaling("inner service, one per thread", N, || {
        kit::inner_only(&Inner::new(1024), kit::uris(kit::keys()))
    });
    let shared = Inner::new(1024);
    scaling("inner service, shared head and body", N, || {
        kit::inner_only(&shared, kit::uris(kit::keys()))
    });
    scaling("local hit, one hot key", N, || hot.hits());
    scaling("local hit, 10,000 keys", N, || many.hits());
}

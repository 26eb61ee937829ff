//! A hit in the local tier.

use tower_keep::{Table, table::hours};

use super::{
    kit::{self, Warm},
    support::{Case, compare, inner::Inner},
};

const KIB: usize = 1024;

pub(crate) fn run() {
    let small = Warm::new(kit::table(), kit::keys(), KIB);
    let large = Warm::new(kit::table(), kit::keys() / 10, 64 * KIB);
    compare(
        "local hit, 8 fields, 10,000 keys (goal: 1.5 x and 2 allocations; at the least 2.0 x and 3)",
        vec![
            Case::new(
                "inner service, 1 KiB, its own 8 fields",
                kit::inner_only(&Inner::new(KIB), kit::uris(kit::keys())),
            ),
            Case::new(
                "inner service, 1 KiB, with a hit's 10 fields",
                kit::inner_only(&Inner::new(KIB).as_hit(), kit::uris(kit::keys())),
            ),
            Case::new("local hit, 1 KiB", small.hits()),
            Case::new(
                "inner service, 64 KiB",
                kit::inner_only(&Inner::new(64 * KIB), kit::uris(kit::keys() / 10)),
            ),
            Case::new("local hit, 64 KiB, 1,000 keys", large.hits()),
        ],
    );
    let ahead = Warm::new(always_due_for_refresh(), 1, KIB);
    // The first hit starts a refresh, which stays pending because nothing drives the runtime.
    let _runtime = ahead.enter();
    let plain = Warm::new(kit::table(), 1, KIB);
    compare(
        "refresh-ahead (goal: 1.10 x)",
        vec![
            Case::new("local hit, one key", plain.hits()),
            Case::new("local hit, one key, due for refresh", ahead.hits()),
        ],
    );
}

/// A table by which every response is due for a refresh, because its `max-age` is shorter than `refresh_ahead`.
fn always_due_for_refresh() -> Table {
    let route = kit::route().refresh_ahead(hours(5));
    kit::table_with(route).ttl("engagement", hours(10))
}

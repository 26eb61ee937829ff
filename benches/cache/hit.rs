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
                kit::bare(&Inner::new(KIB), kit::uris(kit::keys())),
            ),
            Case::new(
                "inner service, 1 KiB, with a hit's 10 fields",
                kit::bare(&Inner::new(KIB).as_hit(), kit::uris(kit::keys())),
            ),
            Case::new("local hit, 1 KiB", small.hits()),
            Case::new(
                "inner service, 64 KiB",
                kit::bare(&Inner::new(64 * KIB), kit::uris(kit::keys() / 10)),
            ),
            Case::new("local hit, 64 KiB, 1,000 keys", large.hits()),
        ],
    );
    let ahead = Warm::new(always_due(), 1, KIB);
    // Its first hit starts the refresh, which is then under way for as long as nothing drives it.
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

/// What is left of the answer's own `max-age` is always less than when the table wants a refresh.
fn always_due() -> Table {
    let route = kit::route().refresh_ahead(hours(5));
    kit::table_with(route).ttl("engagement", hours(10))
}

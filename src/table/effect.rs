//! What a table sets where it changes nothing.

use super::{Limit, Route, Through, Write, check::Report};

pub(super) fn of_route(route: &Route, report: &mut Report<'_>) {
    if route.key.is_none() {
        without_key(route, report);
    }
    if route.write == Write::Behind {
        report(
            "write",
            "\"behind\" has no effect yet: the write reaches the handler at once, and what it changed becomes unusable; leave it out".to_owned(),
        );
    }
    let never_replaced = route.grpc.is_some()
        || route
            .key
            .as_ref()
            .is_some_and(|key| key.contains("{#body}"));
    if route.write == Write::Through && never_replaced {
        report(
            "write",
            "it has no effect on a gRPC method, nor under a key with {#body}; leave it out"
                .to_owned(),
        );
    }
    if route.through == Through::Answer {
        answer(route, report);
    }
}

/// Without a key only what responses say of themselves counts.
fn without_key(route: &Route, report: &mut Report<'_>) {
    let settings = [
        ("ttl", route.ttl.is_some()),
        (
            "override",
            route.override_freshness && route.negative.is_empty(),
        ),
    ];
    for (field, _) in settings.into_iter().filter(|(_, set)| *set) {
        report(
            field,
            "it has no effect on a route without `key`; write one, as key = \"engagement:{id}\""
                .to_owned(),
        );
    }
    if route.refresh_ahead.is_some() {
        report(
            "refresh_ahead",
            "without `key` it counts only where a response says itself how long it is fresh; write one, as key = \"engagement:{id}\"".to_owned(),
        );
    }
}

fn answer(route: &Route, report: &mut Report<'_>) {
    if route.write != Write::Through {
        report(
            "through",
            "it has no effect by itself; write write = \"through\" as well, or leave it out"
                .to_owned(),
        );
    } else if route.before || !route.vary.is_empty() {
        report(
            "through",
            "a write's answer is never stored where `before` or `vary` is given; write \"refetch\""
                .to_owned(),
        );
    }
}

pub(super) fn of_limit(limit: &Limit, report: &mut Report<'_>) {
    if limit.lease.is_some() {
        report(
            "lease",
            "it has no effect yet: every decision asks the store; leave it out".to_owned(),
        );
    }
}

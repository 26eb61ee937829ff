//! The limits that apply to a request.

use std::{cell::LazyCell, net::IpAddr, sync::Arc};

use http::{Request, request};
use smallvec::SmallVec;

use super::{
    applied_limit::{AppliedLimit, AppliedLimits, LimitResult},
    config::Config,
    cost::cost,
    decision::Decision,
    subject::{Client, LimitSubject},
};
use crate::{
    engine::{core::Engine, limiter::Limiter, snapshot::Snapshot},
    identity::{User, client_ip},
    key::PathReadings,
    message::{peer_address, target},
    quota::QuotaPolicy,
    table::{LimitPlan, Plan, RateLimiting, limit_plan::SubjectPart},
    write_queue::Applying,
};

/// The index of the first limit whose path and methods match. A write that a worker applies was
/// counted when it was accepted.
pub(super) fn first_limit<B>(
    config: &Config,
    snapshot: &Snapshot,
    request: &Request<B>,
) -> Option<usize> {
    let plan = &snapshot.plan;
    if plan.limits().is_empty() || plan.rate_limit == RateLimiting::Off {
        return None;
    }
    let uri = config.engine().uri(request.uri(), request.extensions());
    let (paths, method) = (PathReadings::of(uri.path()), request.method());
    let mut limits = plan.limits().iter();
    limits
        .position(|limit| config.selects(&limit.name) && limit.applies(method, &paths))
        .filter(|_| request.extensions().get::<Applying>().is_none())
}

/// The limits from index `first` on that apply to the request, grouped by subject. The subject with the
/// strictest limit comes first.
pub(super) fn applied_limits(
    config: &Config,
    snapshot: &Snapshot,
    parts: &request::Parts,
    first: usize,
) -> AppliedLimits {
    let (engine, plan) = (&**config.engine(), &snapshot.plan);
    let paths = PathReadings::of(engine.uri(&parts.uri, &parts.extensions).path());
    let find_user = || {
        let user = engine.user(snapshot, parts);
        user.filter(User::is_verified)
    };
    let find_ip = || {
        let peer = peer_address::of(&parts.extensions, || engine.limiter.peer(&parts.extensions));
        client_ip(peer, &parts.headers, &plan.identity)
    };
    let route = route(engine, snapshot, parts, &paths);
    let mut client = Client {
        user: LazyCell::new(&find_user),
        ip: LazyCell::new(&find_ip),
        route,
        headers: &parts.headers,
        is_shared: engine.limiter.is_shared(),
    };
    let mut applied = AppliedLimits::new();
    for (index, limit) in plan.limits().iter().enumerate().skip(first) {
        let matches =
            index == first || config.selects(&limit.name) && limit.applies(&parts.method, &paths);
        if !matches {
            continue;
        }
        client.route = route_of_limit(limit, engine, snapshot, parts, &paths).unwrap_or(route);
        if let Some(limit) = apply(index, limit, config, plan, parts, &client) {
            applied.push(limit);
        }
    }
    sort_by_subject(&mut applied);
    applied
}

/// Applies a limit whose path and method match; `None` if the request is exempt or costs nothing.
fn apply(
    index: usize,
    limit: &LimitPlan,
    config: &Config,
    plan: &Plan,
    parts: &request::Parts,
    client: &Client<'_>,
) -> Option<AppliedLimit> {
    let limiter = &config.engine().limiter;
    if is_exempt(limit, client) || is_repeated(limiter, parts, &limit.name) {
        return None;
    }
    let cost = cost(limit, config, parts);
    if cost == 0 {
        return None;
    }
    let subject = LimitSubject::of(&limit.by, client, &plan.identity);
    if subject.is_unknown() {
        limiter.warn_of_no_address();
    }
    Some(AppliedLimit {
        index,
        policy: Arc::clone(policy(limit, client)),
        subject,
        cost,
        shadow: limit.shadow || plan.rate_limit == RateLimiting::Shadow,
        result: LimitResult::Undecided,
    })
}

/// The path pattern of the table's route for the request, else of axum's route, without a slash at its
/// end; `None` if no limit counts by route.
fn route<'a>(
    engine: &Engine,
    snapshot: &'a Snapshot,
    parts: &'a request::Parts,
    paths: &PathReadings<'_>,
) -> Option<&'a str> {
    let by_route = |limit: &LimitPlan| limit.by.contains(&SubjectPart::Route);
    if !snapshot.plan.limits().iter().any(by_route) {
        return None;
    }
    let host = engine.target(parts).host;
    listed_route(&snapshot.plan, paths.normalized(), host)
        .or_else(|| target::matched_path(&parts.extensions))
        .map(without_slash)
}

/// The path pattern of the table's route for a path, or for the path with or without a slash at its end:
/// many servers serve both alike, and a client must not choose the count by it.
fn listed_route<'a>(plan: &'a Plan, path: &str, host: Option<&str>) -> Option<&'a str> {
    let listed = |path: &str| {
        let mut routes = plan.written_routes(path, host);
        let listed = routes.next();
        listed.map(|matched| &*matched.plan().path)
    };
    listed(path).or_else(|| match without_slash(path) {
        same if same.len() == path.len() => listed(&format!("{path}/")),
        shorter => listed(shorter),
    })
}

fn without_slash(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => path,
        shorter => shorter,
    }
}

/// The route by which a limit with a path counts a request whose path is not plain: that of the
/// readings that the limit matches, so that a client cannot choose it by the way it writes the path. If
/// they have several routes, or none, it is the limit's path. `None` for other limits and paths.
fn route_of_limit<'a>(
    limit: &'a LimitPlan,
    engine: &Engine,
    snapshot: &'a Snapshot,
    parts: &request::Parts,
    paths: &PathReadings<'_>,
) -> Option<Option<&'a str>> {
    let path = limit.path()?;
    if paths.others().next().is_none() || !limit.by.contains(&SubjectPart::Route) {
        return None;
    }
    let host = engine.target(parts).host;
    let listed = |reading: &str| listed_route(&snapshot.plan, reading, host).map(without_slash);
    let matching = paths.others().filter(|path| limit.matches_reading(path));
    let mut routes = matching.map(listed);
    let first = routes.next().flatten();
    let is_only = routes.all(|route| route == first);
    Some(match first {
        Some(route) if is_only => Some(route),
        // The plain path has no name either.
        None if is_only && target::matched_path(&parts.extensions).is_none() => None,
        _ => Some(without_slash(path)),
    })
}

fn policy<'a>(limit: &'a LimitPlan, client: &Client<'_>) -> &'a Arc<QuotaPolicy> {
    let user = limit.has_plans().then(|| client.user.as_ref()).flatten();
    limit.policy(user.and_then(User::plan))
}

fn is_exempt(limit: &LimitPlan, client: &Client<'_>) -> bool {
    let exempt = &limit.exempt;
    let user_is_exempt = |user: &User<'_>| exempt.users.iter().any(|id| **id == *user.id());
    let ip_is_exempt = |ip: IpAddr| exempt.nets.iter().any(|net| net.contains(&ip));
    !exempt.users.is_empty() && client.user.as_ref().is_some_and(user_is_exempt)
        || !exempt.nets.is_empty() && client.ip.is_some_and(ip_is_exempt)
}

/// Whether a layer further out has applied this limit to the request.
fn is_repeated(limiter: &Limiter, parts: &request::Parts, name: &str) -> bool {
    let outer = parts.extensions.get::<Decision>();
    let repeated = outer.is_some_and(|decision| decision.limit(name).is_some());
    if repeated {
        limiter.warn_of_repetition(name);
    }
    repeated
}

/// Sorts limits of the same subject next to each other, the subject with the strictest limit first.
fn sort_by_subject(limits: &mut AppliedLimits) {
    if limits.len() < 2 {
        return;
    }
    let strictest = |limit: &AppliedLimit| {
        let same = limits.iter().filter(|other| limit.has_same_subject(other));
        same.map(|other| other.policy.rate).min().unwrap_or(0)
    };
    let ranks: SmallVec<[(usize, u128); 4]> = limits
        .iter()
        .map(|limit| (limit.index, strictest(limit)))
        .collect();
    let rank = |limit: &AppliedLimit| {
        let found = ranks.iter().find(|(index, _)| *index == limit.index);
        found.map(|(_, rate)| *rate)
    };
    limits.sort_by(|a, b| (rank(a), a.subject.tag()).cmp(&(rank(b), b.subject.tag())));
}

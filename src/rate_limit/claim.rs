//! The limits that a request is under: for whom, at what cost, and what they said.

use std::{cell::OnceCell, ops::Range, sync::Arc};

use http::{HeaderMap, HeaderName, request};
use smallvec::SmallVec;

use super::{
    decision::{Decision, Known, LimitDecision},
    layer::Options,
    subject::{Client, Subject},
};
use crate::{
    engine::{
        core::Engine,
        limiter::{Event, Warning},
        snapshot::Snapshot,
    },
    identity::{User, client_ip},
    message::peer,
    quota::{Charge, Outcome, Policy, Ruling},
    store::contracts::limits::{Counter, Refund, Rule},
    table::{LimitPlan, RateLimiting, limit_plan},
};

pub(super) type Claims = SmallVec<[Claim; 1]>;

/// One limit's claim on a request.
#[derive(Debug)]
pub(super) struct Claim {
    /// The limit's place in the table.
    pub(super) limit: usize,
    pub(super) policy: Arc<Policy>,
    pub(super) subject: Subject,
    pub(super) cost: u64,
    pub(super) shadow: bool,
    pub(super) said: Said,
}

/// What the limit said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// It was not asked, since another one refused before.
    Nothing,
    /// The store, or `here` this process.
    Counted { ruling: Ruling, here: bool },
    /// The store did not answer; the limit is open or closed then.
    Uncounted { admitted: bool },
}

/// The claims of the table's limits on a request, from the [`first`] on; those of one subject side
/// by side, the subject with the strictest limit first.
pub(super) fn claims(
    shared: &Engine,
    snapshot: &Snapshot,
    options: &Options,
    parts: &request::Parts,
    first: usize,
) -> Claims {
    let plan = &snapshot.plan;
    let path = shared.uri(&parts.uri, &parts.extensions).path();
    let find_user = || {
        let user = shared.user(snapshot, parts);
        user.filter(|user| user.is_verified())
    };
    let find_ip = || {
        let peer = peer::address(&parts.extensions, || shared.limiter.peer(&parts.extensions));
        client_ip(peer, &parts.headers, &plan.identity)
    };
    let client = Client {
        user: OnceCell::new(),
        find_user: &find_user,
        ip: OnceCell::new(),
        find_ip: &find_ip,
        route: route(shared, snapshot, parts),
        headers: &parts.headers,
        shared: shared.limiter.is_shared(),
    };
    let mut claims = Claims::new();
    for (at, limit) in plan.limits().iter().enumerate().skip(first) {
        let selected = || options.selects(&limit.name) && limit.applies(&parts.method, path);
        let applies = (at == first || selected())
            && !is_exempt(limit, &client)
            && !is_repeated(shared, parts, &limit.name);
        let cost = if applies {
            cost(limit, options, parts)
        } else {
            0
        };
        if cost == 0 {
            continue;
        }
        let subject = Subject::of(&limit.by, &client, &plan.identity);
        if subject.is_unknown() && shared.limiter.warns_of(Warning::NoAddress) {
            tracing::warn!(
                "requests without a known address share one counter; in axum serve with \
                 `into_make_service_with_connect_info` and the feature `axum`, elsewhere say whence \
                 they come with `Keep::peer`"
            );
        }
        claims.push(Claim {
            limit: at,
            policy: Arc::clone(policy(limit, &client)),
            subject,
            cost,
            shadow: limit.shadow || plan.rate_limit == RateLimiting::Shadow,
            said: Said::Nothing,
        });
    }
    in_order(&mut claims);
    claims
}

/// The first limit that may have a claim; asked before the request is taken apart.
pub(super) fn first<B>(
    shared: &Engine,
    snapshot: &Snapshot,
    options: &Options,
    request: &http::Request<B>,
) -> Option<usize> {
    let plan = &snapshot.plan;
    if plan.limits().is_empty() || plan.rate_limit == RateLimiting::Off {
        return None;
    }
    let path = shared.uri(request.uri(), request.extensions()).path();
    let mut limits = plan.limits().iter();
    limits.position(|limit| options.selects(&limit.name) && limit.applies(request.method(), path))
}

/// The route that the table names, else the one that axum matched.
fn route<'a>(
    shared: &Engine,
    snapshot: &'a Snapshot,
    parts: &'a request::Parts,
) -> Option<&'a str> {
    let by_route = |limit: &LimitPlan| limit.by.contains(&limit_plan::Subject::Route);
    if !snapshot.plan.limits().iter().any(by_route) {
        return None;
    }
    let target = shared.target(parts);
    let listed = snapshot.plan.route(target.path, target.host);
    listed
        .map(|matched| &*matched.plan().path)
        .or_else(|| peer::matched_path(&parts.extensions))
}

fn policy<'a>(limit: &'a LimitPlan, client: &Client<'_>) -> &'a Arc<Policy> {
    let user = limit.has_plans().then(|| client.user()).flatten();
    limit.policy(user.and_then(User::plan))
}

fn is_exempt(limit: &LimitPlan, client: &Client<'_>) -> bool {
    let exempt = &limit.exempt;
    !exempt.users.is_empty()
        && client
            .user()
            .is_some_and(|user| exempt.users.iter().any(|u| **u == *user.id()))
        || !exempt.nets.is_empty()
            && client
                .ip()
                .is_some_and(|ip| exempt.nets.iter().any(|net| net.contains(&ip)))
}

/// Whether a layer further out has counted the request under this limit.
fn is_repeated(shared: &Engine, parts: &request::Parts, name: &str) -> bool {
    let before = parts.extensions.get::<Decision>();
    let repeated = before.is_some_and(|decision| decision.limit(name).is_some());
    if repeated && shared.limiter.warns_of(Warning::AppliedTwice) {
        tracing::warn!(
            limit = name,
            "a limit met a request twice and counts it once; select limits with `RateLimitLayer::only`"
        );
    }
    repeated
}

fn cost(limit: &LimitPlan, options: &Options, parts: &request::Parts) -> u64 {
    if let Some(cost) = &options.cost {
        return cost(parts);
    }
    match &limit.cost {
        limit_plan::CostPlan::Fixed(cost) => *cost,
        limit_plan::CostPlan::Header(name) => cost_field(&parts.headers, name),
    }
}

/// The largest number of all lines, at least 1: a field can make a request dearer, never free.
fn cost_field(headers: &HeaderMap, name: &HeaderName) -> u64 {
    let number = |value: &http::HeaderValue| {
        let text = value.to_str().ok()?.trim();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // more digits than fit are more than any limit
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let lines = headers.get_all(name).iter().filter_map(number);
    lines.max().unwrap_or(1).max(1)
}

fn in_order(claims: &mut Claims) {
    if claims.len() < 2 {
        return;
    }
    let strictest = |claim: &Claim| {
        let same = claims
            .iter()
            .filter(|other| other.subject.tag() == claim.subject.tag());
        same.map(|other| other.policy.rate).min().unwrap_or(0)
    };
    let ranks: SmallVec<[(usize, u128); 4]> = claims
        .iter()
        .map(|claim| (claim.limit, strictest(claim)))
        .collect();
    let rank = |claim: &Claim| {
        ranks
            .iter()
            .find(|(limit, _)| *limit == claim.limit)
            .map(|r| r.1)
    };
    claims.sort_by(|a, b| (rank(a), a.subject.tag()).cmp(&(rank(b), b.subject.tag())));
}

/// The next run of claims with one subject, from `start` on.
pub(super) fn group(claims: &[Claim], start: usize) -> Option<Range<usize>> {
    let tag = claims.get(start)?.subject.tag();
    let len = claims[start..]
        .iter()
        .take_while(|claim| claim.subject.tag() == tag)
        .count();
    Some(start..start + len)
}

pub(super) fn rules(claims: &[Claim]) -> SmallVec<[Rule<'_>; 2]> {
    claims.iter().map(Claim::rule).collect()
}

impl Claim {
    fn counter(&self) -> Counter<'_> {
        Counter {
            name: &self.policy.name,
            rest: self.subject.rest(),
        }
    }

    pub(super) fn rule(&self) -> Rule<'_> {
        Rule {
            limit: self.counter(),
            charge: Charge {
                quota: self.policy.quota,
                cost: self.cost,
                shadow: self.shadow,
            },
        }
    }

    /// What there is to give back, if it was charged.
    pub(super) fn refund(&self) -> Option<(Refund<'_>, bool)> {
        let Said::Counted { ruling, here } = self.said else {
            return None;
        };
        let refund = Refund {
            limit: self.counter(),
            quota: self.policy.quota,
            cost: self.cost,
            anchor: ruling.state.anchor(),
        };
        ruling.charged.then_some((refund, here))
    }

    pub(super) fn event(&self) -> Option<(usize, Event)> {
        let admitted = match self.said {
            Said::Nothing => return None,
            Said::Counted { ruling, .. } => ruling.outcome.admitted,
            Said::Uncounted { admitted } => admitted,
        };
        let event = match (admitted, self.shadow) {
            (true, _) => Event::Admitted,
            (false, true) => Event::ShadowRefused,
            (false, false) => Event::Refused,
        };
        Some((self.limit, event))
    }

    fn decision(&self) -> Option<LimitDecision> {
        let (outcome, known) = match self.said {
            Said::Nothing => return None,
            Said::Counted { ruling, .. } => (ruling.outcome, Known::Counted),
            Said::Uncounted { admitted } => (uncounted(admitted), Known::Unavailable),
        };
        Some(LimitDecision {
            policy: Arc::clone(&self.policy),
            outcome,
            shadow: self.shadow,
            known,
        })
    }
}

/// A closed limit sends clients away for a second: the store is asked anew by then.
fn uncounted(admitted: bool) -> Outcome {
    let second = Some(1_000_000);
    Outcome {
        admitted,
        remaining: 0,
        retry_after: if admitted { Some(0) } else { second },
        more_after: None,
    }
}

pub(super) fn decision(claims: &[Claim]) -> Decision {
    let mut limits = SmallVec::new();
    // a loop: the vector's own way of collecting is made for many
    for claim in claims {
        if let Some(decision) = claim.decision() {
            limits.push(decision);
        }
    }
    Decision { limits }
}

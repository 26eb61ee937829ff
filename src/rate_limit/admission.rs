//! From claims to a decision: here and now, or by asking the store.

use std::{
    future::Future,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use smallvec::SmallVec;
use tokio::runtime::Handle;

use super::claim::{Claim, Claims, Said, group, rules};
use crate::{
    engine::{
        core::Engine,
        limiter::{Acquired, Event, Limiter},
        snapshot::Snapshot,
    },
    message::future::BoxFuture,
    quota::Verdict,
    store::contracts::{StoreFuture, limits::Refund},
    table::{OnError, Plan},
};

/// Decides without waiting, if that can be done: `None` if the store has to be asked.
pub(super) fn decide(limiter: &Limiter, claims: &mut [Claim]) -> Option<bool> {
    if limiter.is_shared() {
        return is_known_refusal(limiter, claims).then_some(false);
    }
    if let [claim] = claims {
        return Some(decide_one(limiter, claim));
    }
    let mut start = 0;
    while let Some(range) = group(claims, start) {
        start = range.end;
        let subject = claims[range.start].subject.tag();
        let verdict = limiter.acquire_here(subject, &rules(&claims[range.clone()]));
        if !note(&mut claims[range.clone()], &verdict, true) {
            give_back(limiter, &claims[..range.start], |_| true);
            return Some(false);
        }
    }
    Some(true)
}

/// Most requests are under one limit.
fn decide_one(limiter: &Limiter, claim: &mut Claim) -> bool {
    let ruling = limiter.acquire_one_here(claim.subject.tag(), &claim.rule());
    claim.said = Said::Counted { ruling, here: true };
    ruling.outcome.admitted || claim.shadow
}

/// Whether the store refused one of these subjects not long ago.
fn is_known_refusal(limiter: &Limiter, claims: &mut [Claim]) -> bool {
    let mut start = 0;
    while let Some(range) = group(claims, start) {
        start = range.end;
        let claims = &mut claims[range];
        let known = limiter.refused(claims[0].subject.tag(), &rules(claims));
        for (claim, ruling) in claims.iter_mut().zip(known.iter().flatten()) {
            if let Some(ruling) = *ruling {
                claim.said = Said::Counted {
                    ruling,
                    here: false,
                };
            }
        }
        if known.is_some() {
            return true;
        }
    }
    false
}

/// Writes down what a subject's rules said; whether they admit.
fn note(claims: &mut [Claim], verdict: &Verdict, here: bool) -> bool {
    for (claim, ruling) in claims.iter_mut().zip(&verdict.rulings) {
        claim.said = Said::Counted {
            ruling: *ruling,
            here,
        };
    }
    verdict.admitted
}

/// Gives back what those claims were charged that `which` selects.
pub(super) fn give_back(limiter: &Limiter, claims: &[Claim], which: impl Fn(&Claim) -> bool) {
    let mut start = 0;
    while let Some(range) = group(claims, start) {
        start = range.end;
        let subject = claims[range.start].subject.tag();
        let selected = claims[range].iter().filter(|claim| which(claim));
        let (mut here, mut there) = (
            SmallVec::<[Refund<'_>; 2]>::new(),
            SmallVec::<[_; 2]>::new(),
        );
        for (refund, counted_here) in selected.filter_map(Claim::refund) {
            if counted_here {
                here.push(refund)
            } else {
                there.push(refund)
            }
        }
        if !here.is_empty() {
            limiter.refund_here(subject, &here);
        }
        if !there.is_empty()
            && let Some(refund) = limiter.refund(subject, &there)
        {
            in_background(refund);
        }
    }
}

/// A refund that is lost admits less, never more.
fn in_background(refund: StoreFuture<'static, ()>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(refund);
    }
}

/// What is decided by asking the store, and for whom.
pub(super) struct Asked {
    pub(super) shared: Arc<Engine>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) claims: Claims,
}

impl Asked {
    /// Asks for one subject after the other until one refuses.
    async fn decide(mut self) -> (Self, bool) {
        let mut start = 0;
        while let Some(range) = group(&self.claims, start) {
            start = range.end;
            if !self.ask(range.clone()).await {
                give_back(&self.shared.limiter, &self.claims[..range.start], |_| true);
                return (self, false);
            }
        }
        (self, true)
    }

    async fn ask(&mut self, range: Range<usize>) -> bool {
        let limiter = &self.shared.limiter;
        let claims = &mut self.claims[range];
        let asked = limiter.acquire(claims[0].subject.tag(), &rules(claims));
        let verdict = match asked {
            Acquired::Decided(verdict) => Ok(verdict),
            Acquired::Asked(reply) => reply.await,
        };
        match verdict {
            Ok(verdict) => {
                limiter.remember(claims[0].subject.tag(), &rules(claims), &verdict);
                note(claims, &verdict, false)
            }
            Err(error) => {
                tracing::debug!(%error, "the store did not count");
                without_store(limiter, &self.snapshot.plan, claims)
            }
        }
    }

    /// Gives back what those claims were charged that `which` selects.
    pub(super) fn give_back(&self, which: impl Fn(&Claim) -> bool) {
        give_back(&self.shared.limiter, &self.claims, which);
    }
}

/// Each limit as its `on_error` says; nothing is counted if one of them is closed.
fn without_store(limiter: &Limiter, plan: &Plan, claims: &mut [Claim]) -> bool {
    let on_error = |claim: &Claim| plan.limits().get(claim.limit).map(|limit| limit.on_error);
    limiter.count(claims.iter().map(|claim| (claim.limit, Event::Fallback)));
    let mut closed = false;
    for claim in claims.iter_mut() {
        match on_error(claim) {
            Some(OnError::Closed) => {
                claim.said = Said::Uncounted { admitted: false };
                closed |= !claim.shadow;
            }
            Some(OnError::Open) => claim.said = Said::Uncounted { admitted: true },
            _ => {}
        }
    }
    if closed {
        return false;
    }
    let local: SmallVec<[usize; 4]> = (0..claims.len())
        .filter(|at| matches!(claims[*at].said, Said::Nothing))
        .collect();
    if local.is_empty() {
        return true;
    }
    let all = rules(claims);
    let rules: SmallVec<[_; 2]> = local.iter().map(|at| all[*at]).collect();
    let verdict = limiter.acquire_here(claims[0].subject.tag(), &rules);
    drop((all, rules));
    for (at, ruling) in local.into_iter().zip(&verdict.rulings) {
        claims[at].said = Said::Counted {
            ruling: *ruling,
            here: true,
        };
    }
    verdict.admitted
}

/// The store being asked. Dropped before it answered, the question is driven to its end all the
/// same, and what was charged is given back.
pub(super) struct Asking(Option<BoxFuture<(Asked, bool)>>);

impl Asking {
    pub(super) fn new(asked: Asked) -> Self {
        Self(Some(Box::pin(asked.decide())))
    }
}

impl Future for Asking {
    type Output = (Asked, bool);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let asking = self.0.as_mut().expect("not polled after it was ready");
        let decided = asking.as_mut().poll(cx);
        if decided.is_ready() {
            self.0 = None;
        }
        decided
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(asking) = self.0.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let (asked, admitted) = asking.await;
                if admitted {
                    asked.give_back(|_| true);
                }
            });
        }
    }
}

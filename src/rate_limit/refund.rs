use smallvec::SmallVec;
use tokio::runtime::Handle;

use super::applied_limit::AppliedLimit;
use crate::{
    engine::limiter::Limiter,
    store::contracts::{StoreFuture, limits::Refund},
};

/// Refunds the charges of the limits that `which` selects.
pub(super) fn refund(
    limiter: &Limiter,
    limits: &[AppliedLimit],
    which: impl Fn(&AppliedLimit) -> bool,
) {
    for group in limits.chunk_by(AppliedLimit::has_same_subject) {
        let subject = group[0].subject.tag();
        let selected = group.iter().filter(|limit| which(limit));
        let (mut local, mut shared) = (Refunds::new(), Refunds::new());
        for (refund, is_local) in selected.filter_map(AppliedLimit::refund) {
            if is_local {
                local.push(refund);
            } else {
                shared.push(refund);
            }
        }
        if !local.is_empty() {
            limiter.refund_locally(subject, &local);
        }
        if !shared.is_empty()
            && let Some(refund) = limiter.refund(subject, &shared)
        {
            run_in_background(refund);
        }
    }
}

type Refunds<'a> = SmallVec<[Refund<'a>; 2]>;

/// Spawns a refund. If it is lost, the limit admits less, never more.
fn run_in_background(refund: StoreFuture<'static, ()>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(refund);
    }
}

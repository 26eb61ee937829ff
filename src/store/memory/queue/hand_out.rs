//! Hands out writes, and ends their attempts.

use std::{sync::Arc, time::Duration};

use super::{
    keys::{KeyLease, KeyPhase, KeyWrites},
    state::QueueState,
    write::after,
};
use crate::{
    clock::Now,
    store::contracts::queue::{
        AttemptEnd, AttemptOutcome, Claim, ClaimTerms, ClaimToken, ClaimedWrite, Due, FirstWrite,
        Retention,
    },
    write_queue::WriteState,
};

impl QueueState {
    pub(super) fn due(&self, count: usize, now: Now) -> Due {
        if self.is_paused {
            return Due {
                first: Vec::new(),
                next: None,
            };
        }
        let mut first = Vec::new();
        let mut next = None;
        for (time, key, writes) in self.keys.by_time() {
            if time > now.mono {
                next = Some(Duration::from_nanos(time - now.mono));
                break;
            }
            if first.len() == count {
                next = Some(Duration::ZERO);
                break;
            }
            first.extend(writes.ids.front().map(|id| FirstWrite {
                key: key.as_ref().into(),
                id: *id,
            }));
        }
        Due { first, next }
    }

    pub(super) fn claim(&mut self, first: &FirstWrite, terms: &ClaimTerms, now: Now) -> Claim {
        let Some(is_spent) = self.hand_out(first, terms, now) else {
            return Claim::Nothing;
        };
        let Some(write) = self.writes.get(&first.id) else {
            return Claim::Nothing;
        };
        let key = Arc::clone(&write.key);
        let claimed = ClaimedWrite {
            token: ClaimToken {
                key: first.key.clone(),
                id: first.id,
                token: terms.token,
            },
            seq: write.seq,
            attempt: write.attempts,
            accepted: write.accepted,
            is_spent,
            request: write.request.clone(),
        };
        let lease = KeyLease {
            token: terms.token,
            until: after(now, terms.lease),
            is_spent,
        };
        self.keys.set_phase(&key, KeyPhase::InFlight(lease));
        Claim::Claimed(claimed)
    }

    /// Whether the write is handed out only to be buried; `None` if it cannot be handed out.
    fn hand_out(&mut self, first: &FirstWrite, terms: &ClaimTerms, now: Now) -> Option<bool> {
        let key = self.keys.get(&first.key)?;
        if key.ids.front() != Some(&first.id) {
            return None;
        }
        // The reply to the same claim was lost.
        if let Some(lease) = key.lease_of(terms.token) {
            return Some(lease.is_spent);
        }
        let is_due = match key.phase() {
            KeyPhase::Ready(due) => due <= now.mono,
            KeyPhase::InFlight(lease) => lease.until <= now.mono,
            KeyPhase::Held(_) => false,
        };
        if !is_due || self.is_paused {
            return None;
        }
        let write = self.writes.get_mut(&first.id)?;
        Some(write.is_spent_or_count(terms, now))
    }

    pub(super) fn renew(&mut self, claim: &ClaimToken, lease: Duration, now: Now) -> bool {
        let Some(held) = self.held(claim) else {
            return false;
        };
        let until = after(now, lease);
        let phase = KeyPhase::InFlight(KeyLease { until, ..held });
        self.keys.set_phase(&claim.key.as_ref().into(), phase);
        true
    }

    pub(super) fn end(
        &mut self,
        claim: &ClaimToken,
        end: &AttemptEnd,
        retention: &Retention,
        now: Now,
    ) -> bool {
        let Some(lease) = self.held(claim) else {
            return false;
        };
        let key: Arc<str> = claim.key.as_ref().into();
        self.ended.keep_last_end(&key, end.position, now);
        match end.outcome {
            AttemptOutcome::Done => self.end_first(claim, WriteState::Done, end, retention, now),
            AttemptOutcome::Dead { hold } => {
                if hold {
                    self.keys.set_phase(&key, KeyPhase::Held(claim.id));
                }
                self.end_first(claim, WriteState::Dead, end, retention, now);
            }
            AttemptOutcome::Again(delay) => {
                self.note_failure(claim, end);
                self.release(&key, after(now, delay));
            }
            AttemptOutcome::Back => {
                if let Some(write) = self.writes.get_mut(&claim.id)
                    && !lease.is_spent
                {
                    write.uncount();
                }
                self.release(&key, now.mono);
            }
        }
        true
    }

    /// The lease of this claim, if it is still held.
    fn held(&self, claim: &ClaimToken) -> Option<KeyLease> {
        let key = self.keys.get(&claim.key)?;
        let is_first = key.ids.front() == Some(&claim.id);
        key.lease_of(claim.token).filter(|_| is_first)
    }

    fn end_first(
        &mut self,
        claim: &ClaimToken,
        state: WriteState,
        end: &AttemptEnd,
        retention: &Retention,
        now: Now,
    ) {
        let key: Arc<str> = claim.key.as_ref().into();
        let ids = self.keys.get_mut(&key).map(|writes| &mut writes.ids);
        ids.and_then(|ids| ids.pop_front());
        if let Some(write) = self.remove(claim.id) {
            self.keep_ended(claim.id, write, state, Some(end), retention, now);
        }
        let phase = self.keys.get(&key).map(KeyWrites::phase);
        if let Some(KeyPhase::InFlight(_)) = phase {
            self.release(&key, now.mono);
        }
    }

    fn note_failure(&mut self, claim: &ClaimToken, end: &AttemptEnd) {
        if let Some(write) = self.writes.get_mut(&claim.id) {
            write.reason = end.reason.clone();
        }
    }
}

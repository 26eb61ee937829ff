//! The memory for bodies that are being read or sent, over all requests of a keep.
//!
//! The first [`UNCOUNTED`] bytes of each body need no room, so that small responses and requests are
//! handled as usual while slow clients hold all of the budget.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use metrics::{Gauge, gauge};

/// The bytes of each body that do not count.
pub(crate) const UNCOUNTED: usize = 16 << 10;

/// Bounds the bytes of all bodies that a keep buffers at the same time.
#[derive(Debug)]
pub(crate) struct BufferBudget {
    limit: AtomicUsize,
    buffered: AtomicUsize,
    gauge: Gauge,
}

impl BufferBudget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(to_usize(bytes)),
            buffered: AtomicUsize::new(0),
            gauge: gauge!("tower_keep_buffered_bytes"),
        })
    }

    /// Changes the limit. What is buffered already stays, even if it exceeds the new limit.
    pub(crate) fn resize(&self, bytes: u64) {
        self.limit.store(to_usize(bytes), Ordering::Relaxed);
    }

    /// Whether no further byte that counts may be buffered.
    pub(crate) fn is_full(&self) -> bool {
        self.buffered.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// A permit for one body, which grows as bytes arrive.
    pub(crate) fn permit(self: &Arc<Self>) -> BufferPermit {
        BufferPermit {
            budget: Some(Arc::clone(self)),
            bytes: 0,
        }
    }

    fn try_add(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let add = |buffered: usize| Some(buffered.checked_add(bytes)?).filter(|sum| *sum <= limit);
        let added = (self.buffered).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if added.is_ok() {
            self.gauge.increment(bytes as f64);
        }
        added.is_ok()
    }

    fn add(&self, bytes: usize) {
        self.buffered.fetch_add(bytes, Ordering::Relaxed);
        self.gauge.increment(bytes as f64);
    }

    fn remove(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
        self.gauge.decrement(bytes as f64);
    }
}

/// The right to buffer so many bytes of a body; dropping it gives them back.
///
/// The default has no budget, and may grow without a limit: for bytes that are bounded elsewhere.
#[derive(Debug, Default)]
pub(crate) struct BufferPermit {
    budget: Option<Arc<BufferBudget>>,
    bytes: usize,
}

impl BufferPermit {
    /// Makes the permit at least this large. Returns `false`, and changes nothing, if the budget has
    /// no room.
    #[must_use]
    pub(crate) fn try_grow_to(&mut self, bytes: usize) -> bool {
        let more = counted(bytes).saturating_sub(counted(self.bytes));
        let budget = self.budget.as_ref().filter(|_| more > 0);
        let has_room = budget.is_none_or(|budget| budget.try_add(more));
        if has_room {
            self.bytes = self.bytes.max(bytes);
        }
        has_room
    }

    /// Makes the permit at least this large, even if the budget has no room: for bytes that are
    /// needed in any case.
    pub(crate) fn grow_to(&mut self, bytes: usize) {
        let more = counted(bytes).saturating_sub(counted(self.bytes));
        if let Some(budget) = self.budget.as_ref().filter(|_| more > 0) {
            budget.add(more);
        }
        self.bytes = self.bytes.max(bytes);
    }

    /// Whether the permit takes room of the budget.
    pub(crate) fn takes_room(&self) -> bool {
        self.budget.is_some() && counted(self.bytes) > 0
    }

    /// Gives back what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let less = counted(self.bytes).saturating_sub(counted(bytes));
        if let Some(budget) = self.budget.as_ref().filter(|_| less > 0) {
            budget.remove(less);
        }
        self.bytes = self.bytes.min(bytes);
    }
}

impl Drop for BufferPermit {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(UNCOUNTED)
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_share_the_budget_and_give_it_back() {
        let budget = BufferBudget::new(10);
        let (mut one, mut other) = (budget.permit(), budget.permit());
        assert!(one.try_grow_to(UNCOUNTED + 6));
        assert!(!other.try_grow_to(UNCOUNTED + 5), "only 4 bytes are left");
        assert!(other.try_grow_to(UNCOUNTED + 4));
        assert!(budget.is_full());
        assert!(one.try_grow_to(3), "it is larger already");
        one.shrink_to(UNCOUNTED + 2);
        assert!(!budget.is_full());
        assert!(other.try_grow_to(UNCOUNTED + 8));
        drop((one, other));
        assert_eq!(budget.buffered.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_small_body_needs_no_room() {
        let budget = BufferBudget::new(0);
        assert!(budget.permit().try_grow_to(UNCOUNTED));
        assert!(!budget.permit().try_grow_to(UNCOUNTED + 1));
    }

    #[test]
    fn a_smaller_budget_applies_to_what_is_buffered_next() {
        let budget = BufferBudget::new(10);
        let mut permit = budget.permit();
        assert!(permit.try_grow_to(UNCOUNTED + 10));
        budget.resize(5);
        assert!(!budget.permit().try_grow_to(UNCOUNTED + 1));
        permit.shrink_to(UNCOUNTED + 4);
        assert!(budget.permit().try_grow_to(UNCOUNTED + 1));
        budget.resize(u64::MAX);
        assert!(permit.try_grow_to(3 * UNCOUNTED));
        let mut other = budget.permit();
        assert!(!other.try_grow_to(usize::MAX), "sums do not overflow");
    }

    #[test]
    fn bytes_that_are_needed_in_any_case_take_the_room_of_others() {
        let budget = BufferBudget::new(10);
        let mut permit = budget.permit();
        permit.grow_to(UNCOUNTED + 20);
        assert!(!budget.permit().try_grow_to(UNCOUNTED + 1));
        drop(permit);
        assert!(budget.permit().try_grow_to(UNCOUNTED + 10));
    }

    #[test]
    fn a_permit_without_a_budget_is_not_limited() {
        let mut permit = BufferPermit::default();
        assert!(permit.try_grow_to(usize::MAX));
    }
}

//! The sliding window: the admissions of the last `window`, each with its time and cost.
//!
//! At most the limit is admitted in every interval as long as the window, and only what would exceed
//! that is refused. A limit above [`EXACT_LIMIT`] keeps one time for all admissions of a sub-window, the
//! last one's, so that their capacity is freed up to a 64th of the window late, and never early.

use smallvec::SmallVec;

use super::{admission::Admission, algorithm_state::QuotaOutcome, quota::Quota};

/// The state of a sliding window: the admissions that may still count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SlidingWindowState {
    /// With ascending times.
    admissions: SmallVec<[Admission; INLINE]>,
    /// How many of them, the oldest, had left the window at the last charge. They are removed several
    /// at a time.
    passed: usize,
    /// The sum of the costs of the others.
    used: u64,
}

/// What counts at one time.
#[derive(Clone, Copy)]
struct Counted {
    /// The index of the first admission that counts.
    first: usize,
    used: u64,
}

impl SlidingWindowState {
    /// The state with these admissions. Unless its time is later than that of the previous one, an
    /// admission is counted together with it.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn from_admissions(admissions: impl IntoIterator<Item = Admission>) -> Self {
        let mut state = Self::default();
        for admission in admissions {
            let last = state.last_time().unwrap_or(0);
            state.push(last.max(admission.time()), admission.cost(), 1);
        }
        state
    }

    /// Whether `cost` is admitted at `now`.
    pub(super) fn admits(&mut self, quota: &Quota, now: u64, cost: u64) -> bool {
        self.cut(quota, now);
        let used = self.counted(quota, now).used;
        used.saturating_add(quota.clamp(cost)) <= quota.limit
    }

    /// Decides at `now` whether `cost` is admitted, and charges it if it is. Without a cost, nothing is
    /// charged or refused.
    #[inline]
    pub(super) fn decide(&mut self, quota: &Quota, now: u64, cost: Option<u64>) -> QuotaOutcome {
        self.cut(quota, now);
        let mut counted = self.counted(quota, now);
        let mut refused = None;
        if let Some(cost) = cost.map(|cost| quota.clamp(cost)) {
            if counted.used.saturating_add(cost) > quota.limit {
                refused = Some(cost);
            } else if cost > 0 {
                counted = self.charge(quota, now, cost, counted);
            }
        }
        let remaining = quota.limit.saturating_sub(counted.used);
        QuotaOutcome {
            admitted: refused.is_none(),
            remaining,
            retry_after: refused.map_or(Some(0), |cost| {
                self.time_until_free(counted, quota, now, cost)
            }),
            more_after: self.time_until_free(counted, quota, now, remaining + 1),
        }
    }

    /// Moves times in the future to `now`: the clock has stepped back.
    #[inline]
    fn cut(&mut self, quota: &Quota, now: u64) {
        if self.last_time().is_some_and(|last| last > now) {
            self.cut_at(quota, now);
        }
    }

    #[cold]
    fn cut_at(&mut self, quota: &Quota, now: u64) {
        let first = self.counted(quota, now).first;
        let past = self.admissions.partition_point(|a| a.time() <= now);
        let cost = self.admissions[past..].iter().map(|a| a.cost()).sum();
        let past = self.admissions[first.min(past)..past].iter().copied();
        let mut state = Self::default();
        for admission in past {
            state.push(admission.time(), admission.cost(), 1);
        }
        state.push(now, cost, quota.sub_window());
        *self = state;
    }

    /// What counts at `now`.
    #[inline]
    fn counted(&self, quota: &Quota, now: u64) -> Counted {
        let (mut first, mut used) = (self.passed, self.used);
        while let Some(admission) = self.admissions.get(first) {
            if admission.time().saturating_add(quota.window) > now {
                break;
            }
            used = used.saturating_sub(admission.cost());
            first += 1;
        }
        Counted { first, used }
    }

    /// Counts `cost`, and returns what counts afterwards.
    #[inline]
    fn charge(&mut self, quota: &Quota, now: u64, cost: u64, counted: Counted) -> Counted {
        (self.passed, self.used) = (counted.first, counted.used);
        let left = self.admissions.len() - self.passed;
        // The fewer admissions must be moved, the sooner those that have passed are removed.
        if self.passed * MOVED_PER_REMOVED > left {
            // Faster than `drain`.
            self.admissions.copy_within(self.passed.., 0);
            self.admissions.truncate(left);
            self.passed = 0;
        }
        self.push(now, cost, quota.sub_window());
        Counted {
            first: self.passed,
            used: self.used,
        }
    }

    /// Adds an admission to that of the same sub-window, if there is one.
    fn push(&mut self, now: u64, cost: u64, sub_window: u64) {
        self.used += cost;
        if self.admissions.len() > self.passed
            && let Some(last) = self.admissions.last_mut()
            && last.time() - last.time() % sub_window == now - now % sub_window
        {
            *last = Admission::new(now, last.cost() + cost);
            return;
        }
        let len = self.admissions.len();
        if len >= INLINE && len == self.admissions.capacity() {
            self.admissions.reserve_exact(len / 4 + 2);
        }
        self.admissions.push(Admission::new(now, cost));
    }

    /// The time until a `cost` that does not fit does; `None` if it never will.
    fn time_until_free(&self, counted: Counted, quota: &Quota, now: u64, cost: u64) -> Option<u64> {
        let free = quota.limit.checked_sub(cost)?;
        let mut used = counted.used;
        for admission in &self.admissions[counted.first..] {
            used = used.saturating_sub(admission.cost());
            if used <= free {
                return Some((admission.time() + quota.window).saturating_sub(now));
            }
        }
        Some(quota.window)
    }

    fn last_time(&self) -> Option<u64> {
        self.admissions.last().map(Admission::time)
    }

    /// The time from which the state equals a fresh one.
    pub(super) fn expires(&self, quota: &Quota) -> u64 {
        let last = self.last_time().unwrap_or(0);
        last.saturating_add(quota.window)
    }

    /// Removes `cost` from the admission at `time`.
    pub(super) fn refund(&mut self, quota: &Quota, time: u64, cost: u64) {
        let sub_window = quota.sub_window();
        let counted = self.admissions.iter().enumerate().skip(self.passed);
        let found = counted
            .rev()
            .take_while(|(_, admission)| admission.time() >= time)
            .find(|(_, a)| a.time() - a.time() % sub_window == time - time % sub_window);
        let Some((at, admission)) = found else {
            return;
        };
        let left = admission.cost().saturating_sub(cost);
        self.used = self.used.saturating_sub(admission.cost() - left);
        if left > 0 {
            self.admissions[at] = Admission::new(admission.time(), left);
        } else {
            self.admissions.remove(at);
        }
    }
}

impl Quota {
    /// The time within which admissions are counted as one, in microseconds.
    #[inline]
    pub(crate) const fn sub_window(&self) -> u64 {
        if self.limit <= EXACT_LIMIT {
            1
        } else {
            self.window.div_ceil(SUB_WINDOWS)
        }
    }
}

/// The largest limit for which the time of every admission is kept.
pub(crate) const EXACT_LIMIT: u64 = 128;

/// How many sub-windows the window of a larger limit has.
pub(crate) const SUB_WINDOWS: u64 = 64;

/// How many admissions a state holds without an allocation.
const INLINE: usize = 3;

/// How many admissions are moved at most for each that is removed.
const MOVED_PER_REMOVED: usize = 8;

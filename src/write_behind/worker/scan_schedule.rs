//! When to look for due writes.

use std::time::Duration;

use tokio::time::Instant;

/// The time of the next look into each partition of the queue; `None` until something happens there.
#[derive(Debug)]
pub(super) struct ScanSchedule {
    next: Box<[Option<Instant>]>,
    /// The partition that comes first in the next scan, so that none is always last.
    first: usize,
}

impl ScanSchedule {
    /// Every partition is to be scanned now.
    pub(super) fn new(partitions: u8) -> Self {
        Self {
            next: vec![Some(Instant::now()); partitions.max(1).into()].into(),
            first: 0,
        }
    }

    /// Scans every partition as soon as possible.
    pub(super) fn wake_all(&mut self) {
        self.next.fill(Some(Instant::now()));
    }

    /// Scans a partition after this time at the latest.
    pub(super) fn wake_after(&mut self, partition: u8, time: Duration) {
        let Some(next) = self.next.get_mut(usize::from(partition)) else {
            return;
        };
        let at = Instant::now() + time.min(LONGEST);
        *next = Some(next.map_or(at, |next| next.min(at)));
    }

    /// Takes the partitions whose time has come; another one comes first each time.
    pub(super) fn take_due(&mut self) -> Vec<u8> {
        let now = Instant::now();
        let count = self.next.len();
        let order = (0..count).map(|step| (self.first + step) % count);
        let mut due = Vec::new();
        for index in order {
            if self.next[index].is_some_and(|at| at <= now) {
                self.next[index] = None;
                due.extend(u8::try_from(index));
            }
        }
        self.first = (self.first + 1) % count;
        due
    }

    /// The earliest time of all partitions.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.next.iter().flatten().min().copied()
    }
}

/// Longer times could overflow the clock.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn partitions_are_scanned_when_their_time_has_come() {
        let mut schedule = ScanSchedule::new(3);
        assert_eq!(schedule.take_due(), [0, 1, 2]);
        assert_eq!(schedule.earliest(), None);
        schedule.wake_after(1, 2 * SECOND);
        schedule.wake_after(1, 3 * SECOND);
        schedule.wake_after(2, Duration::MAX);
        assert_eq!(schedule.earliest(), Some(Instant::now() + 2 * SECOND));
        assert!(schedule.take_due().is_empty());
        tokio::time::advance(2 * SECOND).await;
        assert_eq!(schedule.take_due(), [1]);
        schedule.wake_after(77, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn another_partition_comes_first_each_time() {
        let mut schedule = ScanSchedule::new(3);
        let mut firsts = Vec::new();
        for _ in 0..4 {
            firsts.push(schedule.take_due()[0]);
            schedule.wake_all();
        }
        assert_eq!(firsts, [0, 1, 2, 0]);
    }
}

//! The clocks of a keep, and the pauses of exponential backoff.
//!
//! A request reads the clock once and uses that reading for freshness, age and trust.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch, by the store's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    /// The time since `earlier`; zero if `earlier` is later, because the clocks of two machines may
    /// differ.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn after(self, delta: Duration) -> Self {
        let delta = u64::try_from(delta.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(delta))
    }

    pub(crate) fn seconds(self) -> u64 {
        self.0 / 1000
    }

    pub(crate) fn system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

/// A reading of the clock: monotonic time for trust, the store's wall time for freshness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Nanoseconds on the monotonic clock, including time in system suspend, where supported.
    pub(crate) mono: u64,
    pub(crate) wall: Timestamp,
}

/// A monotonic clock, and its offset to the store's wall time.
#[derive(Debug)]
pub(crate) struct Clock {
    source: ClockSource,
    /// The store's wall time minus the monotonic time, in nanoseconds.
    offset: AtomicI64,
}

#[derive(Debug)]
enum ClockSource {
    /// Tokio's clock, which tests can pause. Used without Redis.
    Tokio(std::time::Instant),
    /// `CLOCK_BOOTTIME`, which continues while the machine is suspended: after that, stored entries may
    /// not be trusted before the journal has been read.
    #[cfg(feature = "redis")]
    Boot,
    /// A test's clock.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn tokio() -> Self {
        Self::from_source(ClockSource::Tokio(tokio::time::Instant::now().into_std()))
    }

    #[cfg(feature = "redis")]
    pub(crate) fn boot() -> Self {
        Self::from_source(ClockSource::Boot)
    }

    /// A clock that moves only when `nanos` is changed.
    pub(crate) fn manual(nanos: Arc<AtomicU64>) -> Self {
        Self::from_source(ClockSource::Manual(nanos))
    }

    fn from_source(source: ClockSource) -> Self {
        let clock = Self {
            source,
            offset: AtomicI64::new(0),
        };
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        clock.set_wall(clock.mono(), wall);
        clock
    }

    /// Sets the offset: the store's wall time was `wall` when the monotonic clock read `mono`.
    pub(crate) fn set_wall(&self, mono: u64, wall: Duration) {
        let wall = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        let mono = i64::try_from(mono).unwrap_or(i64::MAX);
        self.offset
            .store(wall.saturating_sub(mono), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn mono(&self) -> u64 {
        match &self.source {
            ClockSource::Tokio(start) => {
                let now = tokio::time::Instant::now().into_std();
                nanos(now.saturating_duration_since(*start))
            }
            #[cfg(feature = "redis")]
            ClockSource::Boot => boot_nanos(),
            ClockSource::Manual(nanos) => nanos.load(Ordering::Relaxed),
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Now {
        let mono = self.mono();
        let wall = i64::try_from(mono)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset.load(Ordering::Relaxed));
        Now {
            mono,
            wall: Timestamp(u64::try_from(wall).unwrap_or(0) / 1_000_000),
        }
    }
}

/// Pauses between attempts: each is twice as long as the one before, up to a limit.
///
/// After a success, make a new one.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            longest,
            next: first,
        }
    }

    /// Waits for a random time between half of the next pause and all of it, so that processes that
    /// failed together do not try again together.
    pub(crate) async fn wait(&mut self) {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = self.longest.min(self.next * 2);
        tokio::time::sleep(pause).await;
    }
}

/// Nanoseconds of `span`, saturating.
pub(crate) fn nanos(span: Duration) -> u64 {
    let seconds = span.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(span.subsec_nanos().into())
}

#[cfg(feature = "redis")]
fn boot_nanos() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ID: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const ID: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let t = rustix::time::clock_gettime(ID);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    let part = u64::try_from(t.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn backoff_doubles_up_to_its_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for longest in [100, 200, 300, 300] {
            assert!((longest / 2..=longest + 1).contains(&pause(&mut backoff).await));
        }
    }

    async fn pause(backoff: &mut Backoff) -> u128 {
        let began = tokio::time::Instant::now();
        backoff.wait().await;
        began.elapsed().as_millis()
    }
}

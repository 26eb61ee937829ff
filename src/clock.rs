//! One reading of the clock serves a whole request: freshness, age and trust.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch, by the clock of the keep's store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    /// Time since `earlier`, zero when that lies ahead (clocks of two machines never agree).
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

/// A reading: monotonic for trust, wall time of the store for freshness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Nanoseconds on the monotonic clock, which counts time spent suspended where the system can.
    pub(crate) mono: u64,
    pub(crate) wall: Timestamp,
}

/// Where a keep's time comes from.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Source,
    /// What to add to `mono` (in nanoseconds) for the store's wall time.
    offset: AtomicI64,
}

#[derive(Debug)]
enum Source {
    /// Tokio's clock, which tests can pause: the memory store's.
    Tokio(std::time::Instant),
    /// `CLOCK_BOOTTIME`: a process that was paused or suspended must notice before it serves.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    Boot,
    /// Moved by hand.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn tokio() -> Self {
        Self::from_source(Source::Tokio(tokio::time::Instant::now().into_std()))
    }

    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn boot() -> Self {
        Self::from_source(Source::Boot)
    }

    /// A clock that moves only when `nanos` is changed.
    pub(crate) fn manual(nanos: Arc<AtomicU64>) -> Self {
        Self::from_source(Source::Manual(nanos))
    }

    fn from_source(source: Source) -> Self {
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

    /// Says that the store's wall time was `wall` when the monotonic clock stood at `mono`.
    pub(crate) fn set_wall(&self, mono: u64, wall: Duration) {
        let wall = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        let mono = i64::try_from(mono).unwrap_or(i64::MAX);
        self.offset
            .store(wall.saturating_sub(mono), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn mono(&self) -> u64 {
        match &self.source {
            Source::Tokio(start) => {
                let now = tokio::time::Instant::now().into_std();
                nanos(now.saturating_duration_since(*start))
            }
            Source::Boot => boot_nanos(),
            Source::Manual(nanos) => nanos.load(Ordering::Relaxed),
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

fn nanos(span: Duration) -> u64 {
    let seconds = span.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(span.subsec_nanos().into())
}

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

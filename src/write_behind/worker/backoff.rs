//! The time between two attempts.

use std::time::Duration;

/// The longest time before the attempt after attempt number `attempt`, from 1 on: `first`, doubled with
/// each attempt, up to `longest`.
fn limit(attempt: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

/// A random time up to the limit: writes that failed together are not tried again together.
pub(super) fn delay(attempt: u32, first: Duration, longest: Duration) -> Duration {
    limit(attempt, first, longest).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_limit_doubles_up_to_the_longest_time() {
        for (attempt, seconds) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (6, 32),
            (7, 60),
            (u32::MAX, 60),
        ] {
            let limit = limit(attempt, SECOND, 60 * SECOND);
            assert_eq!(limit, seconds * SECOND, "attempt {attempt}");
        }
        assert_eq!(limit(u32::MAX, Duration::MAX, Duration::MAX), Duration::MAX);
    }

    #[test]
    fn delays_are_spread_over_the_whole_time() {
        let delays: Vec<_> = (0..1000).map(|_| delay(3, SECOND, 60 * SECOND)).collect();
        assert!(delays.iter().all(|delay| *delay <= 4 * SECOND));
        assert!(delays.iter().any(|delay| *delay < SECOND));
        assert!(delays.iter().any(|delay| *delay > 3 * SECOND));
    }
}

//! Exact multiplication and division of `u64` through `u128`.

/// Quotient and remainder of `a * b / m`; the quotient saturates.
#[inline]
pub(super) fn mul_div(a: u64, b: u64, m: u64) -> (u64, u64) {
    div_rem(u128::from(a) * u128::from(b), m)
}

/// Quotient and remainder of `n / m`; the quotient saturates.
///
/// Most numbers fit into 64 bits, where division is much faster.
#[inline]
pub(super) fn div_rem(n: u128, m: u64) -> (u64, u64) {
    if let Ok(n) = u64::try_from(n) {
        return (n / m, n % m);
    }
    let quotient = u64::try_from(n / u128::from(m)).unwrap_or(u64::MAX);
    let rest = u64::try_from(n % u128::from(m)).unwrap_or(u64::MAX);
    (quotient, rest)
}

/// `n / m` rounded down; saturates.
#[inline]
pub(super) fn quotient(n: u128, m: u64) -> u64 {
    div_rem(n, m).0
}

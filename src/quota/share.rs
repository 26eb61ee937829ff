//! Exact products and quotients.

/// Quotient and remainder of `a * b / m`, exact; the quotient saturates.
pub(super) fn mul_div(a: u64, b: u64, m: u64) -> (u64, u64) {
    debug_assert!(m > 0);
    if let Some(product) = a.checked_mul(b) {
        return (product / m, product % m);
    }
    let (product, m) = (u128::from(a) * u128::from(b), u128::from(m));
    let quotient = u64::try_from(product / m).unwrap_or(u64::MAX);
    let rest = u64::try_from(product % m).unwrap_or(u64::MAX);
    (quotient, rest)
}

/// `n / m` rounded down; saturates. Most numbers are small, and dividing 128 bits is slow.
#[inline]
pub(super) fn quotient(n: u128, m: u64) -> u64 {
    match u64::try_from(n) {
        Ok(n) => n / m,
        Err(_) => u64::try_from(n / u128::from(m)).unwrap_or(u64::MAX),
    }
}

/// `a * b / m` rounded up.
pub(super) fn mul_div_ceil(a: u64, b: u64, m: u64) -> u64 {
    let (quotient, rest) = mul_div(a, b, m);
    quotient.saturating_add(u64::from(rest > 0))
}

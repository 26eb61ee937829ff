//! Whether an entry may be used.

/// What the fence decides about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Usable,
    /// A soft purge named it: treat it as stale, however fresh it is.
    Stale,
    /// No known record makes it unusable, but the last proof of freshness is too old. Use it only
    /// where a stale response may be used on error.
    Untrusted,
    /// It must never be used again.
    Unusable,
}

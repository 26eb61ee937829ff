//! The fence's verdict on an entry.

/// Whether an entry may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Usable,
    /// A soft purge named the entry: treat it as stale, even if it is fresh.
    Stale,
    /// No known record makes the entry unusable, but the last proof of freshness is too old. Use it only
    /// if a stale response may be used in place of an error.
    Untrusted,
    /// The entry must never be used again.
    Unusable,
}

/// Why stored bytes are not used as an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Not written by this crate.
    Foreign,
    /// Written by a later version of this crate, in a form that this one does not know.
    Unknown,
    /// Truncated or altered.
    Damaged,
    /// Stored under another key.
    Misplaced,
    /// Well-formed, but not an entry that a process with this table stores at this time.
    Implausible,
}

//! The commands of the store: their names in metrics and errors, and how long each may take.

use std::time::Duration;

/// An operation of one of the store's contracts, which is one Redis command or one script call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Get,
    Put,
    Remove,
    Scan,
    Lock,
    Unlock,
    Acquire,
    Refund,
    Peek,
    Reset,
    Increment,
    Append,
    /// Appends a record that an earlier attempt failed to append.
    AppendAgain,
    Sync,
    Publish,
}

impl Command {
    /// Every command with its name, in the order of the variants.
    pub(super) const ALL: [(Self, &'static str); 15] = [
        (Self::Get, "get"),
        (Self::Put, "put"),
        (Self::Remove, "remove"),
        (Self::Scan, "scan"),
        (Self::Lock, "lock"),
        (Self::Unlock, "unlock"),
        (Self::Acquire, "acquire"),
        (Self::Refund, "refund"),
        (Self::Peek, "peek"),
        (Self::Reset, "reset"),
        (Self::Increment, "increment"),
        (Self::Append, "append"),
        (Self::AppendAgain, "append_again"),
        (Self::Sync, "sync"),
        (Self::Publish, "publish"),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// How long this command may take when a request may wait `deadline` for one command.
    ///
    /// Commands that no request waits for may take longer: giving up on them early only repeats
    /// work.
    pub(super) fn timeout(self, deadline: Duration) -> Duration {
        match self {
            Self::Scan | Self::AppendAgain => deadline.saturating_mul(20),
            Self::Sync => deadline.saturating_mul(4),
            _ => deadline,
        }
    }
}

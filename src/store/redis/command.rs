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
    /// Accepts a write into the write-behind queue.
    Push,
    Due,
    Claim,
    Renew,
    End,
    /// Asks for the writes of a key that have not ended.
    Ask,
    Requests,
    Status,
    Counts,
    ManageQueue,
    RepairQueue,
}

impl Command {
    /// Every command with its name, in the order of the variants.
    pub(super) const ALL: [(Self, &'static str); 26] = [
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
        (Self::Push, "push"),
        (Self::Due, "due"),
        (Self::Claim, "claim"),
        (Self::Renew, "renew"),
        (Self::End, "end"),
        (Self::Ask, "ask"),
        (Self::Requests, "requests"),
        (Self::Status, "status"),
        (Self::Counts, "counts"),
        (Self::ManageQueue, "manage_queue"),
        (Self::RepairQueue, "repair_queue"),
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
            Self::Scan
            | Self::AppendAgain
            | Self::Due
            | Self::Claim
            | Self::Renew
            | Self::End
            | Self::ManageQueue
            | Self::RepairQueue => deadline.saturating_mul(20),
            Self::Sync => deadline.saturating_mul(4),
            _ => deadline,
        }
    }
}

//! What is asked of Redis: names for metrics, and how long each may take.

use std::time::Duration;

/// A verb of one of the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
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
    /// What an earlier attempt has not brought there.
    AppendAgain,
    Sync,
    Publish,
    Push,
    Claim,
    Ack,
    Retry,
    Dead,
    Ping,
}

impl Verb {
    pub(super) const ALL: [Self; 21] = [
        Self::Get,
        Self::Put,
        Self::Remove,
        Self::Scan,
        Self::Lock,
        Self::Unlock,
        Self::Acquire,
        Self::Refund,
        Self::Peek,
        Self::Reset,
        Self::Increment,
        Self::Append,
        Self::AppendAgain,
        Self::Sync,
        Self::Publish,
        Self::Push,
        Self::Claim,
        Self::Ack,
        Self::Retry,
        Self::Dead,
        Self::Ping,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Remove => "remove",
            Self::Scan => "scan",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Acquire => "acquire",
            Self::Refund => "refund",
            Self::Peek => "peek",
            Self::Reset => "reset",
            Self::Increment => "increment",
            Self::Append => "append",
            Self::AppendAgain => "append_again",
            Self::Sync => "sync",
            Self::Publish => "publish",
            Self::Push => "push",
            Self::Claim => "claim",
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Dead => "dead",
            Self::Ping => "ping",
        }
    }

    /// How long this verb may take when `deadline` is what a request may wait for one command.
    ///
    /// What no request waits for gets longer: giving up early on it only makes more work.
    pub(super) fn allowance(self, deadline: Duration) -> Duration {
        match self {
            Self::Scan | Self::AppendAgain => deadline.saturating_mul(20),
            Self::Sync => deadline.saturating_mul(4),
            _ => deadline,
        }
    }
}

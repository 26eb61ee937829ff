//! Parses the replies of the queue's scripts. Whatever a reply is, the worst is an error.

use std::{str, time::Duration, vec};

use bytes::Bytes;
use redis::Value;

use crate::{
    clock::Timestamp,
    error::{Error, Kind},
    store::{
        contracts::queue::{
            Bound, Claim, ClaimToken, ClaimedWrite, Due, FirstWrite, PendingWrites, Pushed,
            StoredStatus,
        },
        position::Position,
    },
    write_queue::{QueueCounts, WriteId, WriteState},
};

pub(super) fn unreadable() -> Error {
    Error::new(
        Kind::Corrupt,
        "the reply of a script of the write-behind queue cannot be read",
    )
}

/// Parses a reply that is 1 or 0.
pub(super) fn is_one(reply: &Value) -> Result<bool, Error> {
    match reply {
        Value::Int(number) => Ok(*number == 1),
        _ => Err(unreadable()),
    }
}

/// Parses the reply of `status.lua`.
pub(super) fn status(reply: Value) -> Result<Option<StoredStatus>, Error> {
    if reply == Value::Nil {
        return Ok(None);
    }
    let mut reply = Reply::new(reply)?;
    Ok(Some(StoredStatus {
        state: reply.state()?,
        key: reply.text()?,
        user: reply.optional_text()?,
        accepted: Timestamp(reply.number()?),
        attempts: reply.count()?,
        next_attempt: reply.optional_number()?.map(Timestamp),
        ended: reply.optional_number()?.map(Timestamp),
        reason: reply.optional_text()?,
        answer: reply.optional()?,
        request: reply.optional()?,
    }))
}

/// The elements of a reply, read from front to back.
pub(super) struct Reply(vec::IntoIter<Value>);

impl Reply {
    pub(super) fn new(reply: Value) -> Result<Self, Error> {
        match reply {
            Value::Array(values) => Ok(Self(values.into_iter())),
            _ => Err(unreadable()),
        }
    }

    pub(super) fn pushed(mut self) -> Result<Pushed, Error> {
        match &self.bytes()?[..] {
            b"a" => {
                let superseded = self.bytes()?;
                let superseded = (!superseded.is_empty()).then(|| id(&superseded));
                Ok(Pushed::Accepted(superseded.transpose()?))
            }
            b"k" => Ok(Pushed::Known(self.id()?, self.state()?)),
            b"o" => Ok(Pushed::OtherContent),
            b"f" => Ok(Pushed::Full(match &self.bytes()?[..] {
                b"w" => Bound::Writes,
                b"b" => Bound::Bytes,
                b"k" => Bound::PerKey,
                _ => return Err(unreadable()),
            })),
            _ => Err(unreadable()),
        }
    }

    /// `None` if the partition must be repaired.
    pub(super) fn due(mut self) -> Result<Option<Due>, Error> {
        let Value::Array(found) = self.next()? else {
            return Ok(None);
        };
        let mut found = Self(found.into_iter());
        let mut first = Vec::with_capacity(found.0.len() / 2);
        while found.0.len() > 0 {
            // A key that is no text is none of this queue's, and no claim could name it.
            let (key, id) = (found.text(), found.id()?);
            first.extend(key.ok().map(|key| FirstWrite { key, id }));
        }
        let next = self.optional_number()?.map(Duration::from_millis);
        Ok(Some(Due { first, next }))
    }

    pub(super) fn claim(mut self, key: &str, token: u64) -> Result<Claim, Error> {
        match &self.bytes()?[..] {
            b"n" => return Ok(Claim::Nothing),
            b"l" => return Ok(Claim::Lost),
            b"c" => {}
            _ => return Err(unreadable()),
        }
        let token = ClaimToken {
            key: key.into(),
            id: self.id()?,
            token,
        };
        Ok(Claim::Claimed(ClaimedWrite {
            token,
            seq: self.number()?,
            attempt: self.count()?,
            accepted: Timestamp(self.number()?),
            is_spent: self.number()? == 1,
            request: self.bytes()?,
        }))
    }

    pub(super) fn pending(mut self) -> Result<PendingWrites, Error> {
        let Value::Array(ids) = self.next()? else {
            return Err(unreadable());
        };
        // What is no id was not written by this queue. A claim removes it.
        let id_of = |value| match value {
            Value::BulkString(bytes) => id(&bytes).ok(),
            _ => None,
        };
        let ids = ids.into_iter().filter_map(id_of).collect();
        let last_end = self.optional()?;
        let last_end = last_end.and_then(|stored| position(&stored));
        Ok(PendingWrites {
            ids,
            last_end: last_end.unwrap_or(Position::UNKNOWN),
        })
    }

    pub(super) fn requests(mut self, count: usize) -> Result<Vec<Option<Bytes>>, Error> {
        (0..count).map(|_| self.optional()).collect()
    }

    /// Ids of dead letters, each with its number in the order of death.
    pub(super) fn letters(mut self) -> Result<Vec<(u64, WriteId)>, Error> {
        let mut letters = Vec::with_capacity(self.0.len() / 2);
        while self.0.len() > 0 {
            let (id, number) = (self.id(), self.text()?);
            let number = number.parse::<f64>().unwrap_or(0.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
            letters.extend(id.ok().map(|id| (number as u64, id)));
        }
        Ok(letters)
    }

    pub(super) fn counts(mut self) -> Result<QueueCounts, Error> {
        Ok(QueueCounts {
            waiting: self.number()?,
            in_flight: self.number()?,
            dead: self.number()?,
            bytes: self.number()?,
            oldest: Duration::from_millis(self.number()?),
            lost: self.number()?,
            paused: self.number()? == 1,
        })
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.0.next().ok_or_else(unreadable)
    }

    fn optional(&mut self) -> Result<Option<Bytes>, Error> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(Some(bytes.into())),
            Value::Nil => Ok(None),
            _ => Err(unreadable()),
        }
    }

    fn bytes(&mut self) -> Result<Bytes, Error> {
        self.optional()?.ok_or_else(unreadable)
    }

    fn optional_text(&mut self) -> Result<Option<Box<str>>, Error> {
        let text = |bytes: Bytes| str::from_utf8(&bytes).map(Into::into).ok();
        let bytes = self.optional()?;
        bytes
            .map(|bytes| text(bytes).ok_or_else(unreadable))
            .transpose()
    }

    fn text(&mut self) -> Result<Box<str>, Error> {
        self.optional_text()?.ok_or_else(unreadable)
    }

    fn number(&mut self) -> Result<u64, Error> {
        self.optional_number()?.ok_or_else(unreadable)
    }

    /// A number, or -1 if there is none.
    fn optional_number(&mut self) -> Result<Option<u64>, Error> {
        match self.next()? {
            Value::Int(number) => Ok(u64::try_from(number).ok()),
            _ => Err(unreadable()),
        }
    }

    fn count(&mut self) -> Result<u32, Error> {
        u32::try_from(self.number()?).map_err(|_| unreadable())
    }

    fn id(&mut self) -> Result<WriteId, Error> {
        id(&self.bytes()?)
    }

    fn state(&mut self) -> Result<WriteState, Error> {
        let state = self.bytes()?;
        match &state[..] {
            b"w" => Ok(WriteState::Waiting),
            b"a" => Ok(WriteState::Applying),
            b"d" => Ok(WriteState::Done),
            b"x" => Ok(WriteState::Dead),
            [b's', by @ ..] => Ok(WriteState::Superseded(id(by)?)),
            _ => Err(unreadable()),
        }
    }
}

fn id(bytes: &[u8]) -> Result<WriteId, Error> {
    let bytes = bytes.try_into().map_err(|_| unreadable())?;
    Ok(WriteId::from_bytes(bytes))
}

/// Parses `EPOCH:N`.
fn position(stored: &[u8]) -> Option<Position> {
    let (epoch, n) = str::from_utf8(stored).ok()?.split_once(':')?;
    Some(Position {
        epoch: epoch.parse().ok()?,
        n: n.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reply that is not as expected is an error.
    #[test]
    fn malformed_replies_are_errors() {
        let text = |text: &str| Value::BulkString(text.into());
        let replies = [
            Value::Nil,
            Value::Int(-1),
            text("a"),
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Nil, Value::Nil]),
            Value::Array(vec![text("a")]),
            Value::Array(vec![text("a"), text("short")]),
            Value::Array(vec![text("k"), text("0123456789abcdef"), text("?")]),
            Value::Array(vec![text("f"), text("?")]),
            Value::Array(vec![text("c"), text("0123456789abcdef"), Value::Int(-1)]),
            Value::Array(vec![Value::Array(vec![text("a key")]), Value::Int(-1)]),
            Value::Array(vec![text("s"), text("a key")]),
        ];
        for reply in replies {
            let read = |parse: fn(Reply) -> bool| Reply::new(reply.clone()).is_ok_and(parse);
            assert!(!read(|reply| reply.pushed().is_ok()), "{reply:?}");
            assert!(!read(|reply| reply.claim("k", 1).is_ok()), "{reply:?}");
            assert!(
                !read(|reply| matches!(reply.due(), Ok(Some(_)))),
                "{reply:?}"
            );
            assert!(!read(|reply| reply.counts().is_ok()), "{reply:?}");
            assert!(!matches!(status(reply.clone()), Ok(Some(_))), "{reply:?}");
        }
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        let known = Position { epoch: 7, n: 9 };
        assert_eq!(position(b"7:9"), Some(known));
        for text in ["", "7", "7:", ":9", "-7:9", "7:9:1", "a:b"] {
            assert_eq!(position(text.as_bytes()), None, "{text}");
        }
    }
}

//! Parses the replies of the journal's scripts and the records of its stream. Data from Redis is not
//! trusted.

use std::{sync::Arc, time::Duration};

use redis::Value;

use crate::{
    error::{Error, Kind},
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{AppendReply, OpenDeclaration, Record, RecordAction, StatePage},
        position::Position,
    },
};

pub(super) fn appended(reply: Value) -> Result<AppendReply, Error> {
    let [epoch, n, floor, between, open] = list(reply)?;
    Ok(AppendReply {
        position: position(&epoch, &n)?,
        floor: number(&floor)?,
        between: records(between)?,
        open: declarations(open)?,
    })
}

pub(super) fn page(reply: Value) -> Result<StatePage, Error> {
    let [epoch, head, floor, latest, next, open, seconds, micros] = list(reply)?;
    let next = match next {
        Value::Nil => None,
        next => Some(score(&next)?),
    };
    let time =
        Duration::from_secs(number(&seconds)?).checked_add(Duration::from_micros(number(&micros)?));
    Ok(StatePage {
        head: position(&epoch, &head)?,
        floor: number(&floor)?,
        latest: self::latest(latest)?,
        next,
        open: declarations(open)?,
        time,
    })
}

/// Parses the entries of a stream, as `XRANGE` replies.
pub(super) fn records(reply: Value) -> Result<Vec<Record>, Error> {
    items(reply)?.into_iter().map(record).collect()
}

/// Parses one record. A record of another program has no epoch: its readers read the state instead.
fn record(entry: Value) -> Result<Record, Error> {
    let [id, fields] = list(entry)?;
    let n = bytes(&id)?
        .split(|byte| *byte == b'-')
        .next()
        .and_then(digits);
    let (mut epoch, mut action, mut token) = (0, b'i', 0);
    let mut purges = Vec::new();
    let fields = items(fields)?;
    for pair in fields.chunks_exact(2) {
        let value = bytes(&pair[1])?;
        match bytes(&pair[0])? {
            b"e" => epoch = digits(value).unwrap_or(0),
            b"a" => action = value.first().copied().unwrap_or(b'i'),
            b"t" => token = token_of(value),
            b"s" => purges.push(Purge::read(value)),
            _ => {}
        }
    }
    let action = match action {
        b'o' => RecordAction::Open(token),
        b'c' => RecordAction::Close(token),
        _ => RecordAction::Invalidate,
    };
    Ok(Record {
        position: Position {
            epoch,
            n: n.ok_or_else(unreadable)?,
        },
        action,
        purges: purges.into(),
    })
}

/// Parses alternating members and scores, without the member that holds the head.
fn latest(reply: Value) -> Result<Vec<(Purge, u64)>, Error> {
    let items = items(reply)?;
    let mut latest = Vec::with_capacity(items.len() / 2);
    for pair in items.chunks_exact(2) {
        let member = bytes(&pair[0])?;
        if member != HEAD {
            latest.push((Purge::read(member), score(&pair[1])?));
        }
    }
    Ok(latest)
}

fn declarations(reply: Value) -> Result<Vec<OpenDeclaration>, Error> {
    items(reply)?.into_iter().map(declared).collect()
}

fn declared(reply: Value) -> Result<OpenDeclaration, Error> {
    let items = items(reply)?;
    let (token, purged) = items.split_first().ok_or_else(unreadable)?;
    let mut purges = Vec::with_capacity(purged.len());
    for purge in purged {
        purges.push(Purge::read(bytes(purge)?));
    }
    if purges.is_empty() {
        purges.push(Purge::hard(PurgeTarget::Everything));
    }
    Ok(OpenDeclaration {
        token: token_of(bytes(token)?),
        purges: Arc::from(purges),
    })
}

/// Tokens are numbers; anything else is hashed to one.
fn token_of(text: &[u8]) -> u64 {
    digits(text).unwrap_or_else(|| u64::from(crc32fast::hash(text)))
}

fn position(epoch: &Value, n: &Value) -> Result<Position, Error> {
    let epoch = digits(bytes(epoch)?).filter(|epoch| *epoch != 0);
    Ok(Position {
        epoch: epoch.ok_or_else(unreadable)?,
        n: number(n)?,
    })
}

fn list<const N: usize>(reply: Value) -> Result<[Value; N], Error> {
    items(reply)?.try_into().map_err(|_| unreadable())
}

fn items(reply: Value) -> Result<Vec<Value>, Error> {
    match reply {
        Value::Array(items) => Ok(items),
        _ => Err(unreadable()),
    }
}

fn bytes(reply: &Value) -> Result<&[u8], Error> {
    match reply {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(unreadable()),
    }
}

fn number(reply: &Value) -> Result<u64, Error> {
    let number = match reply {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(text) => digits(text),
        _ => None,
    };
    number.ok_or_else(unreadable)
}

/// Parses a score, which is a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; this crate writes whole numbers in range only"
)]
fn score(reply: &Value) -> Result<u64, Error> {
    let text = std::str::from_utf8(bytes(reply)?).map_err(|_| unreadable())?;
    text.parse::<f64>()
        .map(|score| score as u64)
        .map_err(|_| unreadable())
}

fn digits(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unreadable() -> Error {
    Error::new(Kind::Corrupt, "the journal's reply cannot be read")
}

/// The member of the sorted set that holds the head.
const HEAD: &[u8] = b"!";

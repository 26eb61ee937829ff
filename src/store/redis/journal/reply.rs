//! Parses the replies of the journal's scripts and the records of its stream. Data from Redis is not
//! trusted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    error::{Error, Kind},
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{
            AppendReply, EpochCause, OpenDeclaration, Record, RecordAction, StatePage,
        },
        position::Position,
    },
};

/// Epoch, position, floor, records in between, open declarations.
type AppendFields = (u64, i64, i64, Vec<StreamEntry>, Vec<DeclarationFields>);

/// Epoch, head, floor, purges with their scores, the score of the last one if there is another page,
/// open declarations, the server's clock in seconds and microseconds, and why the epoch began.
type PageFields = (
    u64,
    i64,
    i64,
    Vec<(Bytes, f64)>,
    Option<f64>,
    Vec<DeclarationFields>,
    u64,
    u64,
    Bytes,
);

/// An entry of a stream: its id, and its fields with their values.
pub(super) type StreamEntry = (Bytes, Vec<(Bytes, Bytes)>);

/// The token of a declaration, then its purges.
type DeclarationFields = Vec<Bytes>;

pub(super) fn append_reply(
    (epoch, n, floor, between, open): AppendFields,
) -> Result<AppendReply, Error> {
    let position = position(epoch, n)?;
    Ok(AppendReply {
        position,
        floor: floor_below(position, floor)?,
        between: records(between)?,
        open: declarations(open)?,
    })
}

pub(super) fn page(
    (epoch, head, floor, latest, next, open, seconds, micros, cause): PageFields,
) -> Result<StatePage, Error> {
    // The member that contains the head is not a purge.
    let latest = latest.into_iter().filter(|(member, _)| member != HEAD);
    let head = position(epoch, head)?;
    let causes = EpochCause::ALL.iter();
    let cause = causes.copied().find(|(_, name)| name.as_bytes() == cause);
    Ok(StatePage {
        head,
        floor: floor_below(head, floor)?,
        latest: latest
            .map(|(member, n)| (Purge::read(&member), whole(n)))
            .collect(),
        next: next.map(whole),
        open: declarations(open)?,
        time: Duration::from_secs(seconds).checked_add(Duration::from_micros(micros)),
        cause: cause.map_or(EpochCause::Damaged, |(cause, _)| cause),
    })
}

pub(super) fn records(entries: Vec<StreamEntry>) -> Result<Vec<Record>, Error> {
    entries.into_iter().map(record).collect()
}

/// Parses one record. A record of another program has no epoch: its readers read the state instead.
fn record((id, fields): StreamEntry) -> Result<Record, Error> {
    let n = id.split(|byte| *byte == b'-').next().and_then(digits);
    let (mut epoch, mut action, mut token) = (0, b'i', 0);
    let mut purges = Vec::new();
    for (name, value) in &fields {
        match &name[..] {
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

fn declarations(open: Vec<DeclarationFields>) -> Result<Vec<OpenDeclaration>, Error> {
    open.iter().map(|fields| declaration(fields)).collect()
}

fn declaration(fields: &[Bytes]) -> Result<OpenDeclaration, Error> {
    let (token, purges) = fields.split_first().ok_or_else(unreadable)?;
    let mut purges: Vec<_> = purges.iter().map(|purge| Purge::read(purge)).collect();
    if purges.is_empty() {
        purges.push(Purge::hard(PurgeTarget::Everything));
    }
    Ok(OpenDeclaration {
        token: token_of(token),
        purges: Arc::from(purges),
    })
}

/// Tokens are numbers; anything else is hashed to one.
fn token_of(text: &[u8]) -> u64 {
    digits(text).unwrap_or_else(|| u64::from(crc32fast::hash(text)))
}

fn position(epoch: u64, n: i64) -> Result<Position, Error> {
    match (epoch, count(n)?) {
        (0, _) => Err(unreadable()),
        (epoch, n) => Ok(Position { epoch, n }),
    }
}

/// The floor, which is never above the head: no entry would be usable.
fn floor_below(head: Position, floor: i64) -> Result<u64, Error> {
    let floor = count(floor)?;
    (floor <= head.n).then_some(floor).ok_or_else(unreadable)
}

fn count(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| unreadable())
}

/// A score as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; this crate writes whole numbers in range only"
)]
fn whole(score: f64) -> u64 {
    score as u64
}

fn digits(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unreadable() -> Error {
    Error::new(Kind::Corrupt, "the journal's reply cannot be read")
}

/// The member of the sorted set that contains the head.
const HEAD: &[u8] = b"!";

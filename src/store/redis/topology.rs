//! Which primaries there are, and which owns a key.

use redis::{Cmd, Value};

use super::{connection::Connections, verb::Verb};
use crate::error::Error;

/// One primary of a Cluster, or the only server.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    node: Option<(Box<str>, u16)>,
    slots: Vec<(u16, u16)>,
}

impl Primary {
    pub(super) fn node(&self) -> Option<(&str, u16)> {
        self.node.as_ref().map(|(host, port)| (&**host, *port))
    }

    /// One of its slots.
    pub(super) fn slot(&self) -> u16 {
        self.slots.first().map_or(0, |(first, _)| *first)
    }

    fn owns(&self, slot: u16) -> bool {
        self.node.is_none()
            || self
                .slots
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

/// The slot of a key (Redis Cluster specification, "key distribution model").
pub(super) fn slot_of(key: &[u8]) -> u16 {
    // Only the routing of a command gives the number away.
    crc16(hash_tag(key)) % SLOTS
}

pub(super) const SLOTS: u16 = 16384;

pub(super) async fn primaries(connections: &Connections) -> Result<Vec<Primary>, Error> {
    if !connections.is_cluster() {
        return Ok(vec![Primary {
            node: None,
            slots: Vec::new(),
        }]);
    }
    let mut cmd = Cmd::new();
    cmd.arg("CLUSTER").arg("SLOTS");
    let reply = connections.query_any(Verb::Sync, &cmd).await?;
    Ok(from_slots(reply))
}

pub(super) fn owner(primaries: Vec<Primary>, key: &[u8]) -> Option<Primary> {
    let slot = slot_of(key);
    primaries.into_iter().find(|primary| primary.owns(slot))
}

/// Ranges of `CLUSTER SLOTS`: first, last, the primary, its replicas; what is malformed is left out.
fn from_slots(reply: Value) -> Vec<Primary> {
    let mut primaries: Vec<Primary> = Vec::new();
    let Value::Array(ranges) = reply else {
        return primaries;
    };
    for range in &ranges {
        let Some((slots, node)) = range_of(range) else {
            continue;
        };
        match primaries
            .iter_mut()
            .find(|primary| primary.node.as_ref() == Some(&node))
        {
            Some(primary) => primary.slots.push(slots),
            None => primaries.push(Primary {
                node: Some(node),
                slots: vec![slots],
            }),
        }
    }
    primaries
}

type Range = ((u16, u16), (Box<str>, u16));

fn range_of(range: &Value) -> Option<Range> {
    let Value::Array(range) = range else {
        return None;
    };
    let [first, last, Value::Array(primary), ..] = &range[..] else {
        return None;
    };
    let [host, port, ..] = &primary[..] else {
        return None;
    };
    let host: String = redis::from_redis_value_ref(host).ok()?;
    Some((
        (number(first)?, number(last)?),
        (host.into(), number(port)?),
    ))
}

fn number(value: &Value) -> Option<u16> {
    let number: i64 = redis::from_redis_value_ref(value).ok()?;
    u16::try_from(number).ok()
}

/// What stands between the first `{` and the next `}`, if anything does; else the whole key.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    tag().unwrap_or(key)
}

/// A key that nobody writes, in a slot.
///
/// Sixteen steps of the checksum can be undone, so two bytes lead from any state to any other.
pub(super) fn probe_key(slot: u16) -> Vec<u8> {
    let before = (0..16).fold(slot, |crc, _| {
        if crc & 1 == 0 {
            crc >> 1
        } else {
            ((crc ^ POLYNOMIAL) >> 1) | 0x8000
        }
    });
    let mut key = b"tower-keep:".to_vec();
    let last = crc16(&key) ^ before;
    key.extend(last.to_be_bytes());
    key
}

const POLYNOMIAL: u16 = 0x1021;

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ POLYNOMIAL
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(
            slot_of(b"{user1000}.following"),
            slot_of(b"{user1000}.followers")
        );
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
    }

    #[test]
    fn every_slot_has_a_key_to_probe_it_by() {
        for slot in 0..SLOTS {
            assert_eq!(slot_of(&probe_key(slot)), slot);
        }
    }

    #[test]
    fn malformed_topologies_are_left_out() {
        let node = |port| {
            Value::Array(vec![
                Value::BulkString(b"127.0.0.1".to_vec()),
                Value::Int(port),
            ])
        };
        let reply = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(9), node(1)]),
            Value::Array(vec![Value::Int(10), Value::Int(19), node(2)]),
            Value::Array(vec![Value::Int(20), Value::Int(29), node(1)]),
            Value::Array(vec![Value::Int(20), Value::Int(99_999), node(3)]),
            Value::Array(vec![Value::Nil]),
            Value::Nil,
        ]);
        let primaries = from_slots(reply);
        assert_eq!(primaries.len(), 2);
        assert!(primaries[0].owns(25) && !primaries[0].owns(10));
    }
}

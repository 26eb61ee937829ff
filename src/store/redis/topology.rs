//! The primaries of a Cluster and the slots that each owns.

use std::collections::BTreeMap;

use redis::Value;

use super::slot::slot_of;

/// One primary of a Cluster, or the only server.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    node: Option<(Box<str>, u16)>,
    slots: Vec<(u16, u16)>,
}

impl Primary {
    /// The only server where there is no Cluster.
    pub(super) fn only() -> Self {
        Self {
            node: None,
            slots: Vec::new(),
        }
    }

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

/// The primary that owns `key`.
pub(super) fn owner(primaries: Vec<Primary>, key: &[u8]) -> Option<Primary> {
    let slot = slot_of(key);
    primaries.into_iter().find(|primary| primary.owns(slot))
}

/// Parses the reply to `CLUSTER SLOTS`: ranges of first slot, last slot, primary and replicas.
/// Malformed ranges are skipped.
pub(super) fn parse_slots(reply: &Value) -> Vec<Primary> {
    let mut slots_by_node = BTreeMap::<_, Vec<_>>::new();
    for range in reply.as_sequence().into_iter().flatten() {
        if let Some((slots, node)) = parse_range(range) {
            slots_by_node.entry(node).or_default().push(slots);
        }
    }
    let primaries = slots_by_node.into_iter().map(|(node, slots)| Primary {
        node: Some(node),
        slots,
    });
    primaries.collect()
}

type SlotRange = ((u16, u16), (Box<str>, u16));

fn parse_range(range: &Value) -> Option<SlotRange> {
    let [first, last, primary, ..] = range.as_sequence()? else {
        return None;
    };
    let [host, port, ..] = primary.as_sequence()? else {
        return None;
    };
    let host: String = redis::from_redis_value_ref(host).ok()?;
    Some((
        (parse_u16(first)?, parse_u16(last)?),
        (host.into(), parse_u16(port)?),
    ))
}

fn parse_u16(value: &Value) -> Option<u16> {
    let number: i64 = redis::from_redis_value_ref(value).ok()?;
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_ranges_are_skipped() {
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
        let primaries = parse_slots(&reply);
        assert_eq!(primaries.len(), 2);
        assert!(primaries[0].owns(25) && !primaries[0].owns(10));
    }
}

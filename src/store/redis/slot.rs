//! The slots of a Cluster (Redis Cluster specification, "key distribution model").

/// Number of slots.
pub(super) const SLOTS: u16 = 16384;

/// The slot of a key.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// An unused key in `slot`.
///
/// CRC-16 can be run backwards over the last two bytes, so two suitable bytes produce any slot.
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

/// The text between the first `{` and the next `}` unless it is empty; else the whole key.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    tag().unwrap_or(key)
}

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

const POLYNOMIAL: u16 = 0x1021;

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
    fn every_slot_has_a_probe_key() {
        for slot in 0..SLOTS {
            assert_eq!(slot_of(&probe_key(slot)), slot);
        }
    }
}

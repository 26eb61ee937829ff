//! Reads of many keys with few commands.

use super::slot::slot_of;

/// Groups keys, by their indices, into those that one `MGET` reads: in a Cluster, all keys of a command
/// must be in one slot.
pub(super) fn batches_of(keys: &[impl AsRef<str>], is_cluster: bool) -> Vec<Vec<usize>> {
    let slot = |index: &usize| match is_cluster {
        true => slot_of(keys[*index].as_ref().as_bytes()),
        false => 0,
    };
    let mut indices: Vec<_> = (0..keys.len()).collect();
    indices.sort_by_key(slot);
    indices
        .chunk_by(|one, next| slot(one) == slot(next))
        .flat_map(|of_slot| of_slot.chunks(MAX_KEYS))
        .map(<[usize]>::to_vec)
        .collect()
}

/// The keys of one command. Redis serves nobody else while it runs a command.
const MAX_KEYS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_batch_are_in_one_slot() {
        let keys = ["a:1", "{t}:1", "a:2", "{t}:2", "{t}:1"];
        assert_eq!(batches_of(&keys, false), [vec![0, 1, 2, 3, 4]]);
        let mut batches = batches_of(&keys, true);
        batches.sort();
        assert_eq!(batches, [vec![0], vec![1, 3, 4], vec![2]]);
        assert!(batches_of(&[""; 0], true).is_empty());
    }

    #[test]
    fn a_batch_has_a_bounded_number_of_keys() {
        let keys: Vec<_> = (0..2 * MAX_KEYS + 1).map(|n| n.to_string()).collect();
        let lengths: Vec<_> = batches_of(&keys, false).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_KEYS, MAX_KEYS, 1]);
    }
}

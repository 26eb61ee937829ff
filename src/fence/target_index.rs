//! A map from purge targets to values, looked up by the names of an entry.

use std::{
    collections::BTreeMap,
    hash::{BuildHasherDefault, Hasher},
};

use hashbrown::HashMap;

use super::{
    entry_names::{EntryNames, hash_of, hash_of_prefix},
    pattern::{MAX_PATTERN, literal_prefix},
};
use crate::key::{glob::matches_glob, purge::PurgeTarget};

/// For a value of two words, a target takes at most 32 bytes, however long its name, and as much again
/// for the free buckets of the hash table.
///
/// A key, tag, user, entity or prefix at a segment end is looked up by its hash. Other prefixes are
/// looked up once for each of their lengths, and globs are matched one by one: the number of both is
/// bounded, and targets beyond it are widened.
#[derive(Debug)]
pub(super) struct TargetIndex<V> {
    hashed: HashMap<u64, V, BuildHasherDefault<IdentityHasher>>,
    lengths: BTreeMap<usize, V>,
    globs: Vec<(Box<str>, V)>,
}

impl<V> Default for TargetIndex<V> {
    fn default() -> Self {
        Self {
            hashed: HashMap::default(),
            lengths: BTreeMap::new(),
            globs: Vec::new(),
        }
    }
}

impl<V: Default> TargetIndex<V> {
    /// Changes the value of a target and returns the target that now holds it: a wider one if there
    /// is no room for `target` itself.
    pub(super) fn update(
        &mut self,
        target: &PurgeTarget,
        mut change: impl FnMut(&mut V),
    ) -> PurgeTarget {
        let target = self.widen(target);
        match &target {
            PurgeTarget::Glob(glob) => change(self.glob(glob)),
            PurgeTarget::Prefix(name) if ends_within_segment(name) => {
                change(self.lengths.entry(name.len()).or_default());
                self.change_hashed(&target, change);
            }
            _ => self.change_hashed(&target, change),
        }
        target
    }

    /// Calls `visitor` with the value of every target that names the entry.
    pub(super) fn visit(&self, names: EntryNames<'_>, mut visitor: impl FnMut(&V)) {
        for hash in names.hashes {
            self.hashed.get(hash).into_iter().for_each(&mut visitor);
        }
        let lengths = self.lengths.keys();
        for hash in lengths.map_while(|length| hash_of_prefix(names.key, *length)) {
            self.hashed.get(&hash).into_iter().for_each(&mut visitor);
        }
        for (glob, value) in &self.globs {
            if matches_glob(glob, names.key) {
                visitor(value);
            }
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.hashed.retain(|_, value| keep(value));
        self.lengths.retain(|_, value| keep(value));
        self.globs.retain(|(_, value)| keep(value));
        if self.hashed.capacity() > 4 * self.hashed.len() {
            self.hashed.shrink_to(2 * self.hashed.len());
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.hashed
            .values()
            .chain(self.globs.iter().map(|(_, value)| value))
    }

    pub(super) fn len(&self) -> usize {
        self.hashed.len() + self.globs.len()
    }

    /// If `target` is a glob without room, removes the glob with the least value to make room. Returns
    /// the prefix that replaces it, and its value.
    pub(super) fn evict_glob<K: Ord>(
        &mut self,
        target: &PurgeTarget,
        key: impl Fn(&V) -> K,
    ) -> Option<(PurgeTarget, V)> {
        let PurgeTarget::Glob(name) = target else {
            return None;
        };
        if self.has_room_for(name) || name.len() > MAX_PATTERN {
            return None;
        }
        let least = (0..self.globs.len()).min_by_key(|index| key(&self.globs[*index].1))?;
        let (name, value) = self.globs.swap_remove(least);
        Some((prefix_of(&name), value))
    }

    fn change_hashed(&mut self, target: &PurgeTarget, mut change: impl FnMut(&mut V)) {
        if let Some(hash) = hash_of(target) {
            change(self.hashed.entry(hash).or_default());
        }
    }

    fn glob(&mut self, name: &str) -> &mut V {
        let known = self.globs.iter().position(|(glob, _)| **glob == *name);
        let index = known.unwrap_or_else(|| {
            self.globs.push((name.into(), V::default()));
            self.globs.len() - 1
        });
        &mut self.globs[index].1
    }

    fn widen(&self, target: &PurgeTarget) -> PurgeTarget {
        match target {
            PurgeTarget::Glob(name) if !self.has_room_for(name) => self.widen(&prefix_of(name)),
            PurgeTarget::Prefix(name) => self.widen_prefix(name),
            other => other.clone(),
        }
    }

    fn widen_prefix(&self, name: &str) -> PurgeTarget {
        let room = self.lengths.len() < MAX_LENGTHS || self.lengths.contains_key(&name.len());
        let name = if ends_within_segment(name) && !room {
            &name[..name.rfind(':').map_or(0, |colon| colon + 1)]
        } else {
            name
        };
        if name.is_empty() {
            return PurgeTarget::Everything;
        }
        PurgeTarget::Prefix(name.into())
    }

    fn has_room_for(&self, name: &str) -> bool {
        name.len() <= MAX_PATTERN
            && (self.globs.len() < MAX_GLOBS || self.globs.iter().any(|(glob, _)| **glob == *name))
    }
}

/// Whether the prefix ends within a segment of a key.
fn ends_within_segment(prefix: &str) -> bool {
    !prefix.ends_with(':')
}

fn prefix_of(glob: &str) -> PurgeTarget {
    PurgeTarget::Prefix(literal_prefix(glob).into())
}

/// For keys that are hashes already.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not called: a `u64` calls `write_u64`.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

const MAX_GLOBS: usize = 64;
const MAX_LENGTHS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    type Positions = [u64; 2];

    #[test]
    fn a_million_targets_take_32_bytes_each_and_free_buckets() {
        // A bucket and the table's control byte.
        assert!(size_of::<(u64, Positions)>() < 32);
        let (count, mut index) = (1 << 20, TargetIndex::<Positions>::default());
        let used = allocation_counter::measure(|| {
            for i in 0..count {
                let name = format!("dashboard:an-identifier-of-some-length-{i}:engagement_list");
                index.update(&PurgeTarget::Key(name.into()), |value| value[0] = i);
            }
        });
        assert_eq!(index.len() as u64, count);
        let most = 2 * 32 * i64::try_from(count).expect("a million");
        assert!(used.bytes_current < most, "{}", used.bytes_current);
        // Pruning releases memory.
        let given_back = allocation_counter::measure(|| index.retain(|value| value[0] < 1000));
        assert!(given_back.bytes_current < -most / 2, "{given_back:?}");
    }
}

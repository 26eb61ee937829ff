//! Positions or counts by purge target, looked up by the names of an entry.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use super::entry_names::{EntryNames, hash_of, hash_of_prefix};
use crate::key::{
    glob::{MAX_GLOBS, literal_prefix, matches_glob},
    purge::PurgeTarget,
};

/// Maps purge targets to positions or counts.
///
/// A key, tag, user, entity or prefix at a segment end is looked up by its hash, and takes at most 32
/// bytes however long its name, and as much again for the free buckets of the hash table. Other
/// prefixes are looked up once for each of their lengths, and globs, which keep their text, are matched
/// one by one: the number of lengths and of globs is bounded, and targets beyond it are widened.
#[derive(Debug, Default)]
pub(super) struct TargetIndex {
    hashed: HashTable<(u64, HardAndSoft)>,
    lengths: BTreeMap<usize, HardAndSoft>,
    globs: BTreeMap<Box<str>, HardAndSoft>,
}

/// A position or count for hard purges and one for soft purges; 0 if there are none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HardAndSoft {
    pub(super) hard: u64,
    pub(super) soft: u64,
}

impl HardAndSoft {
    pub(super) fn of(&mut self, soft: bool) -> &mut u64 {
        if soft { &mut self.soft } else { &mut self.hard }
    }

    pub(super) fn larger(&self) -> u64 {
        self.hard.max(self.soft)
    }

    /// The larger number of each kind.
    pub(super) fn max(self, other: &Self) -> Self {
        Self {
            hard: self.hard.max(other.hard),
            soft: self.soft.max(other.soft),
        }
    }
}

impl TargetIndex {
    /// Changes the numbers of a target and returns the target that now holds them: a wider one if
    /// there is no room for `target` itself.
    pub(super) fn update(
        &mut self,
        target: &PurgeTarget,
        change: impl Fn(&mut HardAndSoft),
    ) -> PurgeTarget {
        let target = self.widen(&target.tracked());
        if let PurgeTarget::Glob(glob) = &target {
            change(self.globs.entry(glob.clone()).or_default());
        }
        if let PurgeTarget::Prefix(name) = &target
            && !name.ends_with(':')
        {
            change(self.lengths.entry(name.len()).or_default());
        }
        if let Some(hash) = hash_of(&target) {
            change(self.hashed_mut(hash));
        }
        target
    }

    /// The largest numbers of all targets that name the entry.
    pub(super) fn find(&self, names: EntryNames<'_>) -> HardAndSoft {
        let lengths = self.lengths.keys();
        let prefixes = lengths.map_while(|length| hash_of_prefix(names.key, *length));
        let hashes = names.hashes.iter().copied().chain(prefixes);
        let hashed = hashes.filter_map(|hash| self.hashed.find(hash, |known| known.0 == hash));
        let globs = self.globs.iter();
        let globs = globs.filter(|(glob, _)| matches_glob(glob, names.key));
        hashed
            .map(|(_, numbers)| numbers)
            .chain(globs.map(|(_, numbers)| numbers))
            .fold(HardAndSoft::default(), HardAndSoft::max)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&HardAndSoft) -> bool) {
        self.hashed.retain(|(_, numbers)| keep(numbers));
        self.lengths.retain(|_, numbers| keep(numbers));
        self.globs.retain(|_, numbers| keep(numbers));
        if self.hashed.capacity() > 4 * self.hashed.len() {
            self.hashed.shrink_to(2 * self.hashed.len(), hash_in);
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &HardAndSoft> {
        let hashed = self.hashed.iter().map(|(_, numbers)| numbers);
        hashed.chain(self.globs.values())
    }

    pub(super) fn len(&self) -> usize {
        self.hashed.len() + self.globs.len()
    }

    /// If there is no room for the glob `target`, removes the glob with the smallest number. Returns the
    /// prefix that replaces the removed glob, and its numbers.
    pub(super) fn evict_glob(
        &mut self,
        target: &PurgeTarget,
    ) -> Option<(PurgeTarget, HardAndSoft)> {
        let target = target.tracked();
        let PurgeTarget::Glob(name) = &*target else {
            return None;
        };
        if self.has_room_for(name) {
            return None;
        }
        let least = self
            .globs
            .iter()
            .min_by_key(|(_, numbers)| numbers.larger());
        let name = least?.0.clone();
        let numbers = self.globs.remove(&name)?;
        Some((PurgeTarget::prefix(literal_prefix(&name)), numbers))
    }

    fn hashed_mut(&mut self, hash: u64) -> &mut HardAndSoft {
        let entry = self.hashed.entry(hash, |known| known.0 == hash, hash_in);
        let entry = entry.or_insert_with(|| (hash, HardAndSoft::default()));
        &mut entry.into_mut().1
    }

    /// The target itself, or a wider one if there is no room for it.
    fn widen(&self, target: &PurgeTarget) -> PurgeTarget {
        match target {
            PurgeTarget::Glob(name) if !self.has_room_for(name) => {
                self.widen_prefix(literal_prefix(name))
            }
            PurgeTarget::Prefix(name) => self.widen_prefix(name),
            other => other.clone(),
        }
    }

    /// Shortens a prefix to the end of a segment if there is no room for its length.
    fn widen_prefix(&self, name: &str) -> PurgeTarget {
        let has_room = self.lengths.len() < MAX_LENGTHS || self.lengths.contains_key(&name.len());
        let segments = name.rfind(':').map_or(0, |colon| colon + 1);
        let end = if has_room { name.len() } else { segments };
        PurgeTarget::prefix(&name[..end])
    }

    fn has_room_for(&self, name: &str) -> bool {
        self.globs.len() < MAX_GLOBS || self.globs.contains_key(name)
    }
}

/// The hash of a bucket: the names of hashed targets are not kept.
fn hash_in((hash, _): &(u64, HardAndSoft)) -> u64 {
    *hash
}

/// How many different lengths the prefixes may have that do not end with a segment.
const MAX_LENGTHS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_targets_take_32_bytes_each_and_free_buckets() {
        // A bucket and the table's control byte.
        assert!(size_of::<(u64, HardAndSoft)>() < 32);
        let (count, mut index) = (1 << 20, TargetIndex::default());
        let used = allocation_counter::measure(|| {
            for i in 0..count {
                let name = format!("dashboard:an-identifier-of-some-length-{i}:engagement_list");
                index.update(&PurgeTarget::Key(name.into()), |value| value.hard = i);
            }
        });
        assert_eq!(index.len() as u64, count);
        let most = 2 * 32 * i64::try_from(count).expect("a million");
        assert!(used.bytes_current < most, "{}", used.bytes_current);
        // Pruning releases memory.
        let given_back = allocation_counter::measure(|| index.retain(|value| value.hard < 1000));
        assert!(given_back.bytes_current < -most / 2, "{given_back:?}");
    }
}

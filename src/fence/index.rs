//! Subjects with a value each, looked up by the names of an entry.

use std::{
    collections::BTreeMap,
    hash::{BuildHasherDefault, Hasher},
};

use hashbrown::HashMap;

use super::{
    names::{Names, hash_of, hash_of_prefix},
    pattern::{MAX_PATTERN, literal_prefix},
};
use crate::key::{glob::matches_glob, purge::PurgeTarget};

/// At most 32 bytes a subject for a value of two words, whatever its name, and what a hash table leaves
/// empty: at most as much again.
///
/// Keys, tags, users, entities and prefixes at segment ends are one hash each. Other prefixes are
/// found by the few lengths that live, globs one by one: both are bounded, and widened beyond that.
#[derive(Debug)]
pub(super) struct Index<V> {
    hashed: HashMap<u64, V, BuildHasherDefault<Hashed>>,
    lengths: BTreeMap<usize, V>,
    globs: Vec<(Box<str>, V)>,
}

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self {
            hashed: HashMap::default(),
            lengths: BTreeMap::new(),
            globs: Vec::new(),
        }
    }
}

impl<V: Default> Index<V> {
    /// Changes the value of a subject, and answers the subject under which it lies: the same, or a
    /// wider one where there is no room for the same.
    pub(super) fn update(
        &mut self,
        subject: &PurgeTarget,
        mut change: impl FnMut(&mut V),
    ) -> PurgeTarget {
        let subject = self.fitting(subject);
        match &subject {
            PurgeTarget::Glob(glob) => change(self.glob(glob)),
            PurgeTarget::Prefix(name) if is_raw(name) => {
                change(self.lengths.entry(name.len()).or_default());
                self.change_hashed(&subject, change);
            }
            _ => self.change_hashed(&subject, change),
        }
        subject
    }

    /// Every value that belongs to a subject which names the entry.
    pub(super) fn visit(&self, names: Names<'_>, mut visitor: impl FnMut(&V)) {
        for hash in names.hashes {
            self.hashed.get(hash).into_iter().for_each(&mut visitor);
        }
        let raw = self.lengths.keys();
        for hash in raw.map_while(|length| hash_of_prefix(names.key, *length)) {
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

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out the glob whose value is least, if there is no room for another.
    pub(super) fn surplus_glob<K: Ord>(
        &mut self,
        subject: &PurgeTarget,
        key: impl Fn(&V) -> K,
    ) -> Option<(PurgeTarget, V)> {
        let PurgeTarget::Glob(name) = subject else {
            return None;
        };
        if self.has_room_for(name) || name.len() > MAX_PATTERN {
            return None;
        }
        let least = (0..self.globs.len()).min_by_key(|index| key(&self.globs[*index].1))?;
        let (name, value) = self.globs.swap_remove(least);
        Some((widened(&name), value))
    }

    fn change_hashed(&mut self, subject: &PurgeTarget, mut change: impl FnMut(&mut V)) {
        if let Some(hash) = hash_of(subject) {
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

    fn fitting(&self, subject: &PurgeTarget) -> PurgeTarget {
        match subject {
            PurgeTarget::Glob(name) if !self.has_room_for(name) => self.fitting(&widened(name)),
            PurgeTarget::Prefix(name) => self.fitting_prefix(name),
            other => other.clone(),
        }
    }

    fn fitting_prefix(&self, name: &str) -> PurgeTarget {
        let room = self.lengths.len() < LIVE_LENGTHS || self.lengths.contains_key(&name.len());
        let name = if is_raw(name) && !room {
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
            && (self.globs.len() < LIVE_GLOBS || self.globs.iter().any(|(glob, _)| **glob == *name))
    }
}

/// It does not end where a segment of a key ends.
fn is_raw(prefix: &str) -> bool {
    !prefix.ends_with(':')
}

fn widened(glob: &str) -> PurgeTarget {
    PurgeTarget::Prefix(literal_prefix(glob).into())
}

/// Passes on what is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u64` is called for a `u64`; anything else would be slow, not wrong.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

const LIVE_GLOBS: usize = 64;
const LIVE_LENGTHS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    type Value = [u64; 2];

    #[test]
    fn a_million_subjects_take_32_bytes_each_beside_what_the_table_leaves_empty() {
        // An entry, and the table's own byte for it.
        assert!(size_of::<(u64, Value)>() < 32);
        let (count, mut index) = (1 << 20, Index::<Value>::default());
        let used = allocation_counter::measure(|| {
            for i in 0..count {
                let name = format!("dashboard:an-identifier-of-some-length-{i}:engagement_list");
                index.update(&PurgeTarget::Key(name.into()), |value| value[0] = i);
            }
        });
        assert_eq!(index.len() as u64, count);
        let most = 2 * 32 * i64::try_from(count).expect("a million");
        assert!(used.bytes_current < most, "{}", used.bytes_current);
        // What was pruned gives its room back.
        let given_back = allocation_counter::measure(|| index.retain(|value| value[0] < 1000));
        assert!(given_back.bytes_current < -most / 2, "{given_back:?}");
    }
}

//! The purge targets that name an entry.

use std::hash::{BuildHasher, Hasher};

use foldhash::{SharedSeed, quality::SeedableRandomState};
use smallvec::SmallVec;

use crate::key::{
    purge::PurgeTarget,
    tracked_name::{self, PREFIX_MAX},
};

/// The names of an entry, with which purge targets are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryNames<'a> {
    /// The key without its variations.
    pub(crate) key: &'a str,
    /// From [`target_hashes`].
    pub(crate) hashes: &'a [u64],
}

/// Sized so that most need no allocation.
pub(crate) type TargetHashes = SmallVec<[u64; 16]>;

/// The hashes of all targets that can name an entry: its key, the key's prefixes at segment ends, its
/// tags, its entity and the entities above it, its user, and everything.
///
/// Other prefixes and globs have no hash here; they are compared with the key.
pub(crate) fn target_hashes<T: AsRef<str>>(
    key: &str,
    entity: &str,
    user: Option<&str>,
    tags: &[T],
) -> TargetHashes {
    let mut hashes = TargetHashes::new();
    hashes.push(hash(b'*', b""));
    hashes.push(hash(b'k', tracked_name::of_key(key).as_bytes()));
    for end in colons(key).take_while(|end| *end < PREFIX_MAX) {
        hashes.push(hash(b'p', &key.as_bytes()[..=end]));
    }
    let hash_text = |kind, name: &str| hash(kind, tracked_name::of_text(name).as_bytes());
    for end in colons(entity) {
        hashes.push(hash_text(b'e', &entity[..end]));
    }
    if !entity.is_empty() {
        hashes.push(hash_text(b'e', entity));
    }
    hashes.extend(user.map(|user| hash_text(b'u', user)));
    hashes.extend(tags.iter().map(|tag| hash_text(b't', tag.as_ref())));
    hashes
}

fn colons(text: &str) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b':', text.as_bytes())
}

/// The hash of a [tracked](PurgeTarget::tracked) target; `None` for a glob, and for a version, which changes keys instead of naming
/// entries. A collision invalidates too much, never too little.
pub(super) fn hash_of(target: &PurgeTarget) -> Option<u64> {
    let (kind, name) = target.parts();
    let names_entries = !matches!(target, PurgeTarget::Glob(_) | PurgeTarget::Version(_));
    names_entries.then(|| hash(kind, name.as_bytes()))
}

/// The hash of the prefix of `key` with this length.
pub(super) fn hash_of_prefix(key: &str, length: usize) -> Option<u64> {
    let prefix = key.as_bytes().get(..length)?;
    Some(hash(b'p', prefix))
}

fn hash(kind: u8, name: &[u8]) -> u64 {
    // Seeded per process, so that a client cannot choose names that collide.
    let state = SeedableRandomState::with_seed(0, SharedSeed::global_random());
    let mut hasher = state.build_hasher();
    hasher.write_u8(kind);
    hasher.write(name);
    hasher.finish()
}

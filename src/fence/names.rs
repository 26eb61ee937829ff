//! The subjects by which an entry can be named.

use std::hash::{BuildHasher, Hasher};

use foldhash::{SharedSeed, quality::SeedableRandomState};
use smallvec::SmallVec;

use crate::key::purge::PurgeTarget;

/// An entry as invalidations see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// The key without its variations.
    pub(crate) key: &'a str,
    /// From [`subjects_of`].
    pub(crate) hashes: &'a [u64],
}

/// Few enough to lie on the stack, nearly always.
pub(crate) type Hashes = SmallVec<[u64; 16]>;

/// Hashes of every subject that can name an entry, raw prefixes and globs excepted: its key, the
/// key's prefixes at segment ends, tags, the entity and those above it, the user, and everything.
pub(crate) fn subjects_of<T: AsRef<str>>(
    key: &str,
    entity: &str,
    user: Option<&str>,
    tags: &[T],
) -> Hashes {
    let mut hashes = Hashes::new();
    let (everything, nothing) = EVERYTHING;
    hashes.push(hash(everything, nothing));
    hashes.push(hash(b'k', key));
    for end in segment_ends(key) {
        hashes.push(hash_bytes(b'p', &key.as_bytes()[..=end]));
    }
    for end in segment_ends(entity) {
        hashes.push(hash_bytes(b'e', &entity.as_bytes()[..end]));
    }
    if !entity.is_empty() {
        hashes.push(hash(b'e', entity));
    }
    hashes.extend(user.map(|user| hash(b'u', user)));
    hashes.extend(tags.iter().map(|tag| hash(b't', tag.as_ref())));
    hashes
}

/// Where its colons are.
fn segment_ends(text: &str) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b':', text.as_bytes())
}

/// The hash of a subject: a collision only invalidates more.
///
/// A version has none: its entity's keys change instead.
pub(super) fn hash_of(subject: &PurgeTarget) -> Option<u64> {
    let (kind, name): (u8, &str) = match subject {
        PurgeTarget::Key(name) => (b'k', name),
        PurgeTarget::Prefix(name) => (b'p', name),
        PurgeTarget::Tag(name) => (b't', name),
        PurgeTarget::User(name) => (b'u', name),
        PurgeTarget::Entity(name) => (b'e', name),
        PurgeTarget::Everything => EVERYTHING,
        PurgeTarget::Glob(_) | PurgeTarget::Version(_) => return None,
    };
    Some(hash(kind, name))
}

/// The hash of the prefix of `key` with this length.
pub(super) fn hash_of_prefix(key: &str, length: usize) -> Option<u64> {
    key.as_bytes()
        .get(..length)
        .map(|prefix| hash_bytes(b'p', prefix))
}

fn hash(kind: u8, name: &str) -> u64 {
    hash_bytes(kind, name.as_bytes())
}

fn hash_bytes(kind: u8, name: &[u8]) -> u64 {
    // Seeded per process: which names collide cannot be known outside.
    let state = SeedableRandomState::with_seed(0, SharedSeed::global_random());
    let mut hasher = state.build_hasher();
    hasher.write_u8(kind);
    hasher.write(name);
    hasher.finish()
}

const EVERYTHING: (u8, &str) = (b'*', "");

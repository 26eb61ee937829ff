use sha2::{Digest, Sha256};

use super::at::KEY_HASH_SIZE;

/// The first 128 bits of the SHA-256 of an entry's full key, the namespace included. It binds the
/// entry to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(pub(super) [u8; KEY_HASH_SIZE]);

impl KeyHash {
    pub(crate) fn of(namespace: &str, key: &str) -> Self {
        let digest = Sha256::new().chain_update(namespace).chain_update(key);
        let digest: [u8; 32] = digest.finalize().into();
        let mut hash = [0; KEY_HASH_SIZE];
        hash.copy_from_slice(&digest[..KEY_HASH_SIZE]);
        Self(hash)
    }

    /// Puts the hash at its place in the bytes of an entry from the version on.
    #[cfg(fuzzing)]
    pub(crate) fn bind(self, data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        let at = super::at::KEY_HASH - super::at::VERSION;
        if let Some(place) = data.get_mut(at..at + KEY_HASH_SIZE) {
            place.copy_from_slice(&self.0);
        }
        data
    }
}

//! The keys of one partition.

use std::sync::Arc;

/// The names of one partition's keys, which share a slot.
#[derive(Debug)]
pub(super) struct Partition {
    number: u8,
    /// Those that exist once, in the order of `common.lua`.
    keys: [Arc<[u8]>; 15],
    /// What precedes a key's name in the name of its list.
    list_prefix: Box<[u8]>,
}

impl Partition {
    pub(super) fn new(namespace: &str, number: u8) -> Self {
        let prefix = format!("{namespace}{{behind:{number}}}:");
        Self {
            number,
            keys: NAMES.map(|name| Arc::from(format!("{prefix}{name}").into_bytes())),
            list_prefix: format!("{prefix}l:").into_bytes().into(),
        }
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }

    /// A key of this partition, by which its server is found.
    pub(super) fn any(&self) -> &[u8] {
        &self.keys[0]
    }

    /// All keys, with the list of one key if that is given.
    pub(super) fn keys(&self, key: Option<&str>) -> Vec<Arc<[u8]>> {
        let list = key.map(|key| Arc::from(self.list(key)));
        self.keys.iter().cloned().chain(list).collect()
    }

    pub(super) fn list(&self, key: &str) -> Vec<u8> {
        [&self.list_prefix, key.as_bytes()].concat()
    }

    pub(super) fn last_ends(&self) -> &[u8] {
        &self.keys[12]
    }

    pub(super) fn writes_and_requests(&self) -> [&[u8]; 2] {
        [&self.keys[1], &self.keys[2]]
    }

    pub(super) fn letters(&self) -> &[u8] {
        &self.keys[13]
    }
}

/// In the order of `common.lua`.
pub(super) const NAMES: [&str; 15] = [
    "meta",
    "writes",
    "requests",
    "scopes",
    "keys",
    "ready",
    "flight",
    "age",
    "results",
    "results_by_expiry",
    "ended_scopes",
    "expiries",
    "last_ends",
    "dead",
    "letters",
];

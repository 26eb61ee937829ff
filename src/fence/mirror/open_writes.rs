//! The declared writes that are open in the journal.

use std::collections::HashMap;

use super::blocked_targets::{Block, BlockedTargets};
use crate::{key::purge::Purge, store::contracts::journal::OpenDeclaration};

/// The open declarations, by their tokens, and the targets that they block.
#[derive(Debug, Default)]
pub(super) struct OpenWrites {
    writes: HashMap<u64, OpenWrite>,
    pub(super) blocked: BlockedTargets,
}

#[derive(Debug)]
struct OpenWrite {
    /// The `n` of its record, or of the head of the state that listed it.
    n: u64,
    block: Block,
}

impl OpenWrites {
    pub(super) fn open(&mut self, token: u64, purges: &[Purge], n: u64) {
        let block = self.blocked.add(purges);
        if let Some(before) = self.writes.insert(token, OpenWrite { n, block }) {
            self.blocked.remove(before.block);
        }
    }

    pub(super) fn close(&mut self, token: u64) {
        if let Some(write) = self.writes.remove(&token) {
            self.blocked.remove(write.block);
        }
    }

    /// Opens and closes writes so that those up to `head` are the `declared` ones. Returns whether any
    /// was opened or closed.
    pub(super) fn replace(&mut self, declared: &[OpenDeclaration], head: u64) -> bool {
        let closed: Vec<u64> = self
            .writes
            .iter()
            .filter(|(token, write)| {
                write.n <= head && !declared.iter().any(|open| open.token == **token)
            })
            .map(|(token, _)| *token)
            .collect();
        let mut changed = !closed.is_empty();
        for token in closed {
            self.close(token);
        }
        for open in declared {
            if !self.writes.contains_key(&open.token) {
                changed = true;
                self.open(open.token, &open.purges, head);
            }
        }
        changed
    }
}

//! The breakers, and which of them a command has to pass.

use redis::Cmd;

use super::{
    breaker::Breaker,
    slot::{SLOTS, slot_of},
};

/// One breaker for a single server, one for each range of slots of a Cluster: a primary that fails
/// affects only the primaries with slots in the same range.
#[derive(Debug)]
pub(super) struct Breakers(Box<[Breaker]>);

/// The breaker of a command, and the slot of its key.
#[derive(Clone, Copy)]
pub(super) struct Circuit<'a> {
    pub(super) breaker: &'a Breaker,
    pub(super) slot: u16,
}

impl Breakers {
    pub(super) fn new(cluster: bool) -> Self {
        let count = if cluster { CLUSTER_BREAKERS } else { 1 };
        let first_slots = (0..count).map(|index| index * (SLOTS / count));
        Self(first_slots.map(Breaker::for_slots_from).collect())
    }

    pub(super) fn all(&self) -> &[Breaker] {
        &self.0
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Breaker> {
        self.0.iter().filter(|breaker| breaker.is_open())
    }

    /// The circuit of a command whose key is argument `at`.
    pub(super) fn circuit_of(&self, cmd: &Cmd, at: usize) -> Circuit<'_> {
        match cmd.args_iter().nth(at) {
            Some(redis::Arg::Simple(key)) if self.0.len() > 1 => self.circuit_of_key(key),
            _ => self.circuit_of_slot(0),
        }
    }

    pub(super) fn circuit_of_key(&self, key: &[u8]) -> Circuit<'_> {
        self.circuit_of_slot(slot_of(key))
    }

    pub(super) fn circuit_of_slot(&self, slot: u16) -> Circuit<'_> {
        let index = usize::from(slot) * self.0.len() / usize::from(SLOTS);
        Circuit {
            breaker: &self.0[index],
            slot,
        }
    }
}

const CLUSTER_BREAKERS: u16 = 64;

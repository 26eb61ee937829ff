//! What happened, and the checks.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::database::ServiceCall;
use crate::common::clock::MILLI;

/// A write that was answered with 202.
#[expect(dead_code, reason = "printed with a violation")]
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) key: usize,
    pub(super) token: String,
    pub(super) id: String,
    pub(super) node: usize,
    /// When its first request was sent, and when its 202 arrived.
    pub(super) sent: u64,
    pub(super) answered: u64,
}

/// The response to a GET.
#[expect(dead_code, reason = "printed with a violation")]
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) node: usize,
    pub(super) key: usize,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) tokens: Vec<String>,
    /// Whether the queue could not be asked.
    pub(super) is_unknown: bool,
    pub(super) status: String,
}

/// A fault.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The node that was stopped or killed.
    pub(super) node: Option<usize>,
    /// Whether Redis may have lost writes that were accepted before its end.
    pub(super) loses: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) accepted: Vec<Accepted>,
    pub(super) shown: Vec<Shown>,
    pub(super) calls: Vec<ServiceCall>,
    pub(super) faults: Vec<Fault>,
}

impl History {
    pub(super) fn summary(&self) -> String {
        let calls = &self.calls;
        let reads = |detail: &str| {
            let all = self.shown.iter();
            let ends = |status: &str| status.split(", ").any(|one| one.ends_with(detail));
            all.filter(|shown| ends(&shown.status)).count()
        };
        let committed = calls.iter().filter(|call| call.committed.is_some());
        format!(
            "{} accepted, {} calls ({} committed), {} reads ({} with pending writes, {} without an answer of the queue), {} faults: {}",
            self.accepted.len(),
            calls.len(),
            committed.count(),
            self.shown.len(),
            reads("detail=pending"),
            reads("detail=pending-unknown"),
            self.faults.len(),
            self.faults
                .iter()
                .map(|fault| fault.what.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        )
    }

    pub(super) fn violations(&self) -> Vec<String> {
        let mut violations = self.unapplied();
        violations.extend(self.out_of_order());
        violations.extend(self.overlapping());
        violations.extend(self.several_ids());
        violations.extend(self.wrongly_shown());
        violations
    }

    /// Whether Redis lost data at or after `from` and before `to`.
    fn lost_between(&self, from: u64, to: u64) -> bool {
        let mut losses = self.faults.iter().filter(|fault| fault.loses);
        losses.any(|fault| fault.end >= from && fault.start <= to)
    }

    fn commits(&self) -> HashMap<&str, &ServiceCall> {
        let mut commits: HashMap<&str, &ServiceCall> = HashMap::new();
        for call in self.calls.iter().filter(|call| call.committed.is_some()) {
            let first = commits.entry(&call.token).or_insert(call);
            if call.committed < first.committed {
                *first = call;
            }
        }
        commits
    }

    /// (a)
    fn unapplied(&self) -> Vec<String> {
        let commits = self.commits();
        let lost = |write: &&Accepted| {
            let is_refused = write.token.ends_with('x');
            !is_refused
                && !commits.contains_key(write.token.as_str())
                && !self.lost_between(write.sent, u64::MAX)
        };
        let lost = self.accepted.iter().filter(lost);
        lost.map(|write| format!("(a) never applied: {write:?}"))
            .collect()
    }

    /// (b)
    fn out_of_order(&self) -> Vec<String> {
        let commits = self.commits();
        let mut by_key: BTreeMap<usize, Vec<&ServiceCall>> = BTreeMap::new();
        for call in commits.values() {
            by_key.entry(call.key).or_default().push(call);
        }
        let mut violations = Vec::new();
        for calls in by_key.values_mut() {
            calls.sort_by_key(|call| call.committed);
            for pair in calls.windows(2) {
                let is_explained = self.was_asleep(pair[1])
                    || self.lost_between(0, pair[1].committed.unwrap_or(u64::MAX));
                if pair[0].seq >= pair[1].seq && !is_explained {
                    violations.push(format!("(b) {:?} before {:?}", pair[0], pair[1]));
                }
            }
        }
        let seq = |write: &Accepted| commits.get(write.token.as_str()).map(|call| call.seq);
        // A repeated write was accepted when it was sent first.
        let mut first: HashMap<&str, u64> = HashMap::new();
        for write in &self.accepted {
            let sent = first.entry(&write.token).or_insert(write.sent);
            *sent = write.sent.min(*sent);
        }
        for earlier in &self.accepted {
            for later in &self.accepted {
                let follows = later.key == earlier.key
                    && later.token != earlier.token
                    && first[later.token.as_str()] > earlier.answered;
                let is_reversed = || seq(earlier).zip(seq(later)).is_some_and(|(a, b)| a >= b);
                if follows && is_reversed() && !self.lost_between(earlier.sent, u64::MAX) {
                    violations.push(format!("(b) {later:?} has a lower seq than {earlier:?}"));
                }
            }
        }
        violations
    }

    /// (c)
    fn overlapping(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for earlier in &self.calls {
            for later in &self.calls {
                let overlaps = earlier.key == later.key
                    && (earlier.start, earlier.attempt, &earlier.token)
                        != (later.start, later.attempt, &later.token)
                    && (earlier.start..earlier.end).contains(&later.start);
                if overlaps && !self.was_asleep(earlier) && !self.lost_between(0, later.start) {
                    violations.push(format!("(c) {later:?} during {earlier:?}"));
                }
            }
        }
        violations
    }

    /// Whether the process of a call was stopped or killed during it, or shortly before.
    fn was_asleep(&self, call: &ServiceCall) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|fault| {
            fault.node == Some(call.node)
                && fault.start <= call.end
                && fault.end + 3_000 * MILLI >= call.start
        })
    }

    /// (d)
    fn several_ids(&self) -> Vec<String> {
        let mut ids: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        let accepted = self.accepted.iter();
        for write in accepted {
            let known = ids.entry(&write.token).or_default();
            known.push((&write.id, write.answered));
        }
        for call in &self.calls {
            let known = ids.entry(&call.token).or_default();
            known.push((&call.id, call.start));
        }
        let differ = |(token, ids): (&&str, &Vec<(&str, u64)>)| {
            let (first, at) = ids[0];
            let other = ids.iter().find(|(id, _)| *id != first)?;
            let is_explained = self.lost_between(at.min(other.1).saturating_sub(LONG), u64::MAX);
            (!is_explained).then(|| format!("(d) {token}: {ids:?}"))
        };
        ids.iter().filter_map(differ).collect()
    }

    /// (e) and (f)
    fn wrongly_shown(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for shown in &self.shown {
            let tokens: HashSet<&str> = shown.tokens.iter().map(String::as_str).collect();
            if tokens.len() != shown.tokens.len() {
                violations.push(format!("(e) twice: {shown:?}"));
            }
            if shown.is_unknown {
                continue;
            }
            for write in &self.accepted {
                let must_show = write.key == shown.key
                    && !write.token.ends_with('x')
                    && write.answered < shown.start
                    && !tokens.contains(write.token.as_str());
                if must_show && !self.lost_between(write.sent, shown.end) {
                    violations.push(format!("(e) {write:?} is not in {shown:?}"));
                }
            }
        }
        // At rest, every refused write has been buried.
        let last = self.shown.len().saturating_sub(super::KEYS * super::NODES);
        for shown in &self.shown[last..] {
            if shown.tokens.iter().any(|token| token.ends_with('x')) {
                violations.push(format!("(f) a buried write is in {shown:?}"));
            }
        }
        violations
    }
}

const LONG: u64 = 60_000 * MILLI;

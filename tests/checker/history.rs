//! The history of requests and responses, and whether the guarantees hold.

use std::{collections::HashMap, fmt};

use super::{
    database::Commit,
    world::{MAX_LAG_MILLIS, View, WriteKind},
};
use crate::common::clock::MILLI;

/// A completed read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) node: usize,
    pub(super) view: View,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The versions of the view's items, in order.
    pub(super) versions: Vec<u64>,
    /// Where the response says that it comes from.
    pub(super) source: String,
}

#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) node: usize,
    pub(super) token: u64,
    pub(super) how: WriteKind,
    pub(super) start: u64,
    /// `None` if the client left or no response came.
    pub(super) answered: Option<u64>,
    /// Whether the process had delivered all its invalidations when it responded.
    pub(super) delivered: bool,
}

/// A process has applied the invalidation of a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    pub(super) node: usize,
    pub(super) token: u64,
    pub(super) at: u64,
}

/// All times are of one clock.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) began: u64,
    pub(super) reads: Vec<Read>,
    pub(super) writes: Vec<Write>,
    pub(super) commits: Vec<Commit>,
    pub(super) applied: Vec<Applied>,
    pub(super) faults: Vec<(u64, u64, String)>,
}

/// From `from` on no read may return an older version.
#[derive(Clone, Copy, Debug)]
struct Bound {
    from: u64,
    version: u64,
    token: u64,
}

/// By node (`None`: all nodes) and item.
type Bounds = HashMap<(Option<usize>, usize), Vec<Bound>>;

/// A violated guarantee, with the events around it.
pub(super) struct Violation(String);

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl History {
    /// The reads that violate a guarantee.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let committed: HashMap<u64, Commit> = self
            .commits
            .iter()
            .map(|commit| (commit.token, *commit))
            .collect();
        let promises = [
            (
                "(a) after a process has answered a write, no read that begins later at that process returns an older version",
                self.after_answer(&committed),
            ),
            (
                "(b) no read anywhere that begins later than max_lag after the append returns an older version",
                self.after_append(&committed),
            ),
            (
                "(c) a process that has applied an invalidation never again serves what it replaced",
                self.after_applied(&committed),
            ),
        ];
        let mut broken = Vec::new();
        for read in &self.reads {
            for (item, version) in read.view.items().into_iter().zip(&read.versions) {
                for (promise, bounds) in &promises {
                    if let Some(bound) = violated(bounds, read, item, *version) {
                        broken.push(self.describe(promise, read, bound));
                    }
                }
            }
        }
        broken
    }

    fn after_answer(&self, committed: &HashMap<u64, Commit>) -> Bounds {
        let answered = self.writes.iter().filter_map(|write| {
            let commit = committed.get(&write.token)?;
            Some((Some(write.node), commit, write.answered?))
        });
        bounds(answered)
    }

    /// The append of a write is known to be over when its process has responded with nothing left to
    /// deliver, or when any process has applied it.
    fn after_append(&self, committed: &HashMap<u64, Commit>) -> Bounds {
        let answered = self.writes.iter().filter(|write| write.delivered);
        let answered = answered.filter_map(|write| Some((write.token, write.answered?)));
        let applied = self
            .applied
            .iter()
            .map(|applied| (applied.token, applied.at));
        let mut appended: HashMap<u64, u64> = HashMap::new();
        for (token, at) in answered.chain(applied) {
            let first = appended.entry(token).or_insert(at);
            *first = at.min(*first);
        }
        bounds(appended.into_iter().filter_map(|(token, at)| {
            let commit = committed.get(&token)?;
            Some((None, commit, at.max(commit.at) + MAX_LAG_MILLIS * MILLI))
        }))
    }

    fn after_applied(&self, committed: &HashMap<u64, Commit>) -> Bounds {
        bounds(self.applied.iter().filter_map(|applied| {
            let commit = committed.get(&applied.token)?;
            // An invalidation applied before the commit has replaced nothing yet.
            Some((Some(applied.node), commit, applied.at.max(commit.at)))
        }))
    }

    fn describe(&self, promise: &str, read: &Read, bound: Bound) -> Violation {
        let at = |time: u64| format!("{:.6}", time.saturating_sub(self.began) as f64 / 1e9);
        let mut lines = vec![format!("broken: {promise}")];
        let mut events = Vec::new();
        for write in self
            .writes
            .iter()
            .filter(|write| write.token == bound.token)
        {
            let answered = write
                .answered
                .map_or("not answered".into(), |end| format!("answered {}", at(end)));
            let delivery = if write.delivered {
                ""
            } else {
                ", append not known to be over"
            };
            events.push((
                write.start,
                format!(
                    "node {} write {} by {:?} begins; {answered}{delivery}",
                    write.node, write.token, write.how
                ),
            ));
        }
        for commit in self
            .commits
            .iter()
            .filter(|commit| commit.token == bound.token)
        {
            events.push((
                commit.at,
                format!(
                    "commit of write {}: item {} version {}",
                    commit.token, commit.item, commit.version
                ),
            ));
        }
        for applied in self
            .applied
            .iter()
            .filter(|applied| applied.token == bound.token)
        {
            events.push((
                applied.at,
                format!(
                    "node {} has applied the invalidation of write {}",
                    applied.node, applied.token
                ),
            ));
        }
        for (start, end, fault) in &self.faults {
            let about = |time: u64| *start < time && *end + 500 * MILLI > time;
            if about(bound.from) || about(read.start) {
                events.push((*start, format!("fault: {fault}, until {}", at(*end))));
            }
        }
        events.push((
            read.start,
            format!(
                "node {} GET {} begins; answered {} with {:?} ({})",
                read.node,
                read.view,
                at(read.end),
                read.versions,
                read.source
            ),
        ));
        events.sort();
        lines.extend(
            events
                .into_iter()
                .map(|(time, event)| format!("  {} {event}", at(time))),
        );
        Violation(lines.join("\n"))
    }
}

fn bounds<'a>(of: impl Iterator<Item = (Option<usize>, &'a Commit, u64)>) -> Bounds {
    let mut bounds = Bounds::new();
    for (node, commit, from) in of {
        let bound = Bound {
            from,
            version: commit.version,
            token: commit.token,
        };
        bounds.entry((node, commit.item)).or_default().push(bound);
    }
    for list in bounds.values_mut() {
        list.sort_by_key(|bound| bound.from);
        let mut highest = list[0];
        for bound in list {
            if bound.version > highest.version {
                highest = *bound;
            }
            // From here on the highest version so far is the bound.
            *bound = Bound {
                from: bound.from,
                ..highest
            };
        }
    }
    bounds
}

fn violated(bounds: &Bounds, read: &Read, item: usize, version: u64) -> Option<Bound> {
    let candidates = [Some(read.node), None].into_iter().filter_map(|node| {
        let list = bounds.get(&(node, item))?;
        let before = list.partition_point(|bound| bound.from < read.start);
        list[..before].last().copied()
    });
    candidates.into_iter().find(|bound| version < bound.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(node: usize, start: u64, version: u64) -> History {
        let second = 1000 * MILLI;
        let write = Write {
            node: 0,
            token: 7,
            how: WriteKind::Route,
            start: second,
            answered: Some(2 * second),
            delivered: true,
        };
        let read = Read {
            node,
            view: View::List(0),
            start,
            end: start + 1,
            versions: vec![9, version, 9],
            source: String::new(),
        };
        let commit = Commit {
            token: 7,
            item: 1,
            version: 5,
            at: second + 1,
        };
        let applied = Applied {
            node: 2,
            token: 7,
            at: 2 * second + 10,
        };
        History {
            reads: vec![read],
            writes: vec![write],
            commits: vec![commit],
            applied: vec![applied],
            ..History::default()
        }
    }

    fn violations(node: usize, millis: u64, version: u64) -> String {
        format!("{:?}", history(node, millis * MILLI, version).violations())
    }

    #[test]
    fn detects_a_stale_read_after_the_response_in_the_same_process() {
        assert_eq!(violations(0, 2001, 5), "[]");
        assert_eq!(violations(0, 1999, 4), "[]");
        assert!(violations(0, 2001, 4).contains("broken: (a)"));
    }

    #[test]
    fn detects_a_stale_read_in_any_process_after_max_lag() {
        assert_eq!(violations(1, 2001 + MAX_LAG_MILLIS, 5), "[]");
        assert_eq!(violations(1, 1999 + MAX_LAG_MILLIS, 4), "[]");
        assert!(violations(1, 2001 + MAX_LAG_MILLIS, 4).contains("broken: (b)"));
    }

    #[test]
    fn detects_a_stale_read_where_the_invalidation_was_applied() {
        assert_eq!(violations(2, 2001, 6), "[]");
        assert_eq!(violations(2, 1999, 4), "[]");
        assert!(violations(2, 2001, 4).contains("broken: (c)"));
    }
}

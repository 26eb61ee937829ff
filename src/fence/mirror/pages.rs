//! The journal's state, page by page.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Mirror, marks::Marks};
use crate::{
    fence::news::News,
    key::purge::{Purge, PurgeTarget},
    store::contracts::journal::{Declared, MAX_PURGES, RecordKind, StatePage},
};

/// The state of another epoch, while its pages come in.
#[derive(Debug)]
pub(in crate::fence) struct Staged {
    epoch: u64,
    marks: Marks,
    versions: Vec<(Box<str>, u64)>,
}

impl Mirror {
    /// A page of this epoch's state; merged by maximum (rule 7).
    pub(in crate::fence) fn merge(&mut self, page: &StatePage, now: u64) {
        for (purge, n) in &page.latest {
            self.mark_one(purge, *n);
            self.settling.applied(&purge.subject, now);
        }
        if !page.latest.is_empty() {
            self.revision += 1;
            let purges = page.latest.iter().map(|(purge, _)| purge.clone());
            self.news.tell(|| News::Purges(purges.collect()));
        }
        if page.next.is_none() {
            self.complete(page);
        }
    }

    fn complete(&mut self, page: &StatePage) {
        if page.head.n < self.at.n {
            return; // older than what the feed has brought
        }
        if page.floor > self.at.n {
            // Records that we never saw have been pruned.
            self.news.tell(|| News::Everything);
        }
        if page.head.n > self.at.n {
            self.at.n = page.head.n;
            self.revision += 1;
        }
        self.raise_floor(page.floor);
        self.prune();
        self.declare_as(&page.open, page.head.n);
    }

    /// The declarations of a state are all there are up to its head.
    fn declare_as(&mut self, declared: &[Declared], head: u64) {
        let gone: Vec<u64> = self
            .open
            .iter()
            .filter(|(token, opened)| {
                opened.n <= head && !declared.iter().any(|open| open.token == **token)
            })
            .map(|(token, _)| *token)
            .collect();
        self.revision += u64::from(!gone.is_empty());
        for token in gone {
            self.closed(token);
        }
        for open in declared {
            if !self.open.contains_key(&open.token) {
                self.revision += 1;
                self.opened(open.token, &open.purges, head);
            }
        }
    }

    /// Takes over the state of another epoch, whose last page this is. What we invalidated lately
    /// and what we declared is to be appended to it (rule 10).
    pub(in crate::fence) fn adopt(&mut self, staged: Staged, page: &StatePage, now: u64) {
        self.revision += 1;
        self.at = page.head;
        self.floor = page.floor;
        self.marks = staged.marks;
        for cell in self.versions.values() {
            cell.store(0, Ordering::Release);
        }
        for (entity, n) in staged.versions {
            self.bump(&entity, n);
        }
        for opened in std::mem::take(&mut self.open).into_values() {
            self.blocked.lift(opened.block);
        }
        self.declare_as(&page.open, page.head.n);
        self.prune();
        self.repeat(now);
        self.news.tell(|| News::Everything);
    }

    fn repeat(&mut self, now: u64) {
        for purges in self.recent.take(now).chunks(MAX_PURGES) {
            self.queue_new(RecordKind::Invalidate, purges.into());
        }
        let declared: Vec<_> = self
            .declared
            .iter()
            // One whose closing is on its way is over, and would stay open until its lease ends.
            .filter(|(token, own)| own.until > now && !self.pending.closes(**token))
            .map(|(token, own)| (*token, own.until - now, Arc::clone(&own.purges)))
            .collect();
        for (token, left, purges) in declared {
            let lease = Duration::from_nanos(left);
            self.queue_new(RecordKind::Open { token, lease }, purges);
        }
    }

    pub(super) fn queue_new(&mut self, kind: RecordKind, purges: Arc<[Purge]>) {
        // Whoever listens has heard of it.
        let id = self.pend(kind, purges, false);
        self.queue(id);
    }
}

impl Staged {
    pub(in crate::fence) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            marks: Marks::default(),
            versions: Vec::new(),
        }
    }

    pub(in crate::fence) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(in crate::fence) fn merge(&mut self, page: &StatePage) {
        for (purge, n) in &page.latest {
            if let PurgeTarget::Version(entity) = &purge.subject {
                self.versions.push((entity.clone(), *n));
            } else {
                self.marks.set(purge, *n);
            }
        }
    }
}

//! Removing all that a pattern matches, and counting it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::task::yield_now;

use super::{
    core::Engine,
    single_flight::{Joined, LeaderGuard},
};
use crate::{error::Error, key::glob::matches_glob};

impl Engine {
    /// Removes everything whose key the pattern matches from both tiers; answers how many entries
    /// there were. Of one pattern there is one sweep at a time.
    pub(crate) async fn sweep(self: &Arc<Self>, pattern: &str) -> Result<u64, Error> {
        let shared = self;
        // What was put there since a sweep began, it may have passed by.
        let asked = shared.swept.fetch_add(1, Ordering::AcqRel);
        loop {
            match shared.sweeps.join(pattern) {
                Joined::Lead(lead) => {
                    let sweep = tokio::spawn(lead_sweep(Arc::clone(shared), lead));
                    return sweep.await.unwrap_or_else(|gone| {
                        Err(Error::unavailable("the sweep was cut short").with_source(gone))
                    });
                }
                Joined::Follow(mut follower) => {
                    // A sweep that failed is tried once more by whoever waited for it.
                    match follower.wait().await {
                        Ok(sweep) if sweep.began > asked => return Ok(sweep.removed),
                        _ => yield_now().await,
                    }
                }
            }
        }
    }
}

/// A sweep that has come to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    /// In the order in which sweeps are asked for and begin.
    began: u64,
    removed: u64,
}

async fn lead_sweep(keep: Arc<Engine>, lead: LeaderGuard<Sweep>) -> Result<u64, Error> {
    let began = keep.swept.fetch_add(1, Ordering::AcqRel);
    let globs = globs(lead.key());
    let locally = keep.sweep_local(&globs);
    let removed = match &keep.store {
        None => locally,
        Some(_) => keep.sweep_store(&globs).await?,
    };
    lead.share(Sweep { began, removed });
    Ok(removed)
}

impl Engine {
    fn sweep_local(&self, globs: &[String]) -> u64 {
        let (removed, now) = (AtomicU64::new(0), self.clock.now().wall);
        self.local.retain(|key, entry| {
            let goes = globs.iter().any(|glob| matches_glob(glob, key));
            if goes && entry.expires > now {
                removed.fetch_add(1, Ordering::Relaxed);
            }
            !goes
        });
        removed.into_inner()
    }

    async fn sweep_store(&self, globs: &[String]) -> Result<u64, Error> {
        let mut removed = 0;
        for glob in globs {
            if let Some(store) = &self.store {
                removed += store.remove_matching(glob).await?;
            }
        }
        if let Some(plain) = &self.plain {
            for glob in self.plain_globs(globs) {
                removed += plain.remove_plain_matching(&glob).await?;
            }
        }
        Ok(removed)
    }

    /// The plain values among what the globs match. Beside them lie strings of other programs, and
    /// counters: of a pattern as wide as `*` only the keys of plain entities are removed.
    fn plain_globs(&self, globs: &[String]) -> Vec<String> {
        let snapshot = self.snapshot.load();
        let roots = snapshot
            .plan
            .plain()
            .iter()
            .filter_map(|entity| entity.split(':').next());
        let mut plain: Vec<_> = roots.flat_map(|root| reached(root, globs)).collect();
        plain.sort_unstable();
        plain.dedup();
        plain
    }
}

/// What matches the full keys: those without variations, and those with.
fn globs(pattern: &str) -> Vec<String> {
    let mut globs = vec![pattern.to_owned()];
    // An escaped star at the end matches itself only.
    if !pattern.ends_with('*') || pattern.ends_with("\\*") {
        globs.push(format!("{pattern}{VARIATIONS}"));
    }
    globs
}

/// What the globs match of the keys whose first segment is `root`, and hardly more.
fn reached(root: &str, globs: &[String]) -> Vec<String> {
    let pattern = globs.first().map_or("", |glob| glob.as_str());
    let literal = &pattern[..pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len())];
    let rest = &pattern[literal.len()..];
    let is_prefix = !rest.is_empty() && rest.bytes().all(|byte| byte == b'*');
    if is_prefix && root.starts_with(literal) {
        return vec![
            root.to_owned(),
            format!("{root}{VARIATIONS}"),
            format!("{root}:*"),
        ];
    }
    if literal.starts_with(root) || root.starts_with(literal) {
        return globs.to_vec();
    }
    Vec::new()
}

/// What follows a key that has variations.
const VARIATIONS: &str = "[~@?#]*";

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_pattern_matches_keys_with_all_their_variations() {
        let matches =
            |pattern: &str, key: &str| globs(pattern).iter().any(|glob| matches_glob(glob, key));
        for full in [
            "a:1",
            "a:1~2.7",
            "a:1@u",
            "a:1?page=2",
            "a:1#0f",
            "a:1@u?q=1#0f",
        ] {
            assert!(matches("a:1", full), "{full}");
            assert!(matches("a:1*", full), "{full}");
            assert!(matches("*:1", full), "{full}");
        }
        assert!(!matches("a:1", "a:12"));
        assert!(!matches("a:1", "a:1:b"));
        assert!(!matches("*:1", "a:1:b"));
        assert!(matches("a\\*", "a*@u"));
    }

    #[test]
    fn a_wide_pattern_spares_what_is_not_plain() {
        let reached = |pattern: &str| reached("config", &globs(pattern));
        assert_eq!(reached("*"), ["config", "config[~@?#]*", "config:*"]);
        assert_eq!(reached("con*").len(), 3);
        assert_eq!(reached("config:a*"), ["config:a*"]);
        assert_eq!(reached("config:a"), ["config:a", "config:a[~@?#]*"]);
        assert_eq!(reached("engagement:*"), [""; 0]);
    }

    #[tokio::test]
    async fn who_asks_amid_a_sweep_gets_one_of_its_own() {
        // A value that the one under way has passed by already stayed, though the deletion came later.
        let local = crate::table::Local::new().size(0);
        let table = crate::table::Table::new().local(local).plain("config");
        let keep = crate::keep::Keep::new(table).expect("a valid table");
        let Joined::Lead(passed_by) = keep.engine().sweeps.join("config:*") else {
            panic!("nobody sweeps yet");
        };
        let began = keep.engine().swept.fetch_add(1, Ordering::AcqRel);
        let key = crate::key::Key::new("config").id(1);
        keep.set(&key, "a value").await.expect("stored");
        let mut asked = [0, 1].map(|_| Box::pin(keep.delete_pattern("config:*")));
        for asked in &mut asked {
            assert!(asked.now_or_never().is_none(), "it waits");
        }
        passed_by.share(Sweep { began, removed: 7 });
        drop(passed_by);
        for removed in futures_util::future::join_all(asked).await {
            assert_eq!(removed.expect("swept"), 1, "they share one");
        }
        assert_eq!(keep.get::<String>(&key).await.expect("readable"), None);
    }
}

//! Fewer purges that name at least the same entries.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use crate::key::{
    glob::literal_prefix,
    purge::{Purge, PurgeTarget},
};

/// The purges without duplicates. If there are more than `most`, one prefix replaces those of all URLs
/// without a route, which any client can make up; then, the purges of the first segments with the most of
/// them. A purge of everything is the last resort.
pub(super) fn fold(purges: impl IntoIterator<Item = Purge>, most: usize) -> Vec<Purge> {
    let distinct: BTreeSet<Purge> = purges.into_iter().collect();
    let folded = if distinct.len() > most {
        fold_segments(distinct, most)
    } else {
        distinct
    };
    let everything = Purge::hard(PurgeTarget::Everything);
    if folded.len() > most || folded.contains(&everything) {
        return vec![everything];
    }
    folded.into_iter().collect()
}

fn fold_segments(purges: BTreeSet<Purge>, most: usize) -> BTreeSet<Purge> {
    let mut counts: HashMap<Purge, usize> = HashMap::new();
    for wider in purges.iter().filter_map(by_segment) {
        *counts.entry(wider).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    let is_of_urls = |purge: &Purge| purge.target == PurgeTarget::Prefix("url:".into());
    counts.sort_unstable_by_key(|(wider, count)| (Reverse(is_of_urls(wider)), Reverse(*count)));
    let mut left = purges.len();
    let mut folded = BTreeSet::new();
    for (wider, count) in counts {
        if left <= most {
            break;
        }
        left -= count - 1;
        folded.insert(wider);
    }
    let replace = |purge: Purge| match by_segment(&purge) {
        Some(wider) if folded.contains(&wider) => wider,
        _ => purge,
    };
    purges.into_iter().map(replace).collect()
}

/// The purge of every key with the same first segment; `None` if the purge names other keys as well.
fn by_segment(purge: &Purge) -> Option<Purge> {
    let name = match &purge.target {
        PurgeTarget::Key(name) | PurgeTarget::Prefix(name) => name,
        PurgeTarget::Glob(name) => literal_prefix(name),
        _ => return None,
    };
    let end = name.find(':')? + 1;
    Some(Purge {
        target: PurgeTarget::prefix(&name[..end]),
        soft: purge.soft,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(entity: &str, count: usize) -> impl Iterator<Item = Purge> {
        let names = (0..count).map(move |i| format!("{entity}:{i}"));
        names.map(|name| Purge::hard(PurgeTarget::Key(name.into())))
    }

    fn texts(purges: &[Purge]) -> Vec<String> {
        purges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn as_many_as_fit_stay_as_they_are() {
        let twice = keys("url:", 4).chain(keys("url:", 4));
        assert_eq!(fold(twice, 4), keys("url:", 4).collect::<Vec<_>>());
    }

    #[test]
    fn urls_are_folded_before_what_a_route_names() {
        let purges = keys("url:", 3).chain(keys("task", 4));
        let mut expected: Vec<_> = keys("task", 4).collect();
        expected.push(Purge::hard(PurgeTarget::prefix("url:")));
        assert_eq!(fold(purges, 5), expected);
    }

    #[test]
    fn the_segments_with_the_most_purges_are_folded_next() {
        let glob = Purge::hard(PurgeTarget::Glob("task:*:list".into()));
        let soft = Purge {
            target: PurgeTarget::Prefix("task:9:".into()),
            soft: true,
        };
        let purges = keys("task", 5).chain([glob, soft]).chain(keys("org", 2));
        let folded = fold(purges, 4);
        assert_eq!(
            texts(&folded),
            ["k:org:0", "k:org:1", "p:task:", "~p:task:9:"]
        );
    }

    #[test]
    fn what_has_no_common_prefix_becomes_a_purge_of_everything() {
        let tags = (0..5).map(|i| Purge::hard(PurgeTarget::Tag(i.to_string().into())));
        assert_eq!(texts(&fold(tags.clone(), 5)).len(), 5);
        assert_eq!(texts(&fold(tags, 4)), ["*"]);
        let glob = Purge::hard(PurgeTarget::Glob("*:list".into()));
        let purges = keys("task", 3).chain([glob]);
        assert_eq!(texts(&fold(purges, 2)), ["p:task:", "g:*:list"]);
        let everything = Purge::hard(PurgeTarget::Everything);
        assert_eq!(texts(&fold(keys("task", 3).chain([everything]), 9)), ["*"]);
    }
}

//! The fence of one process.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::{
    capture::Capture,
    config::FenceConfig,
    declaration::Declaration,
    kit_for_tests::{
        KEY, LEASE, close, declare, entry, fill, in_process, key, may_store, now, purge,
        purge_target, verdict, version_of, write_through,
    },
    subscription::AppliedEvent,
    verdict::Verdict,
};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::{entry::Entry, position::Position},
};

fn name(target: fn(Box<str>) -> PurgeTarget, name: &str) -> PurgeTarget {
    target(name.into())
}

fn targets(target: fn(Box<str>) -> PurgeTarget, names: &[&str]) -> Vec<PurgeTarget> {
    names.iter().map(|text| name(target, text)).collect()
}

/// Regression: an entry that claimed a later position was immune to all invalidations up to it.
#[tokio::test]
async fn an_entry_of_a_position_that_is_not_applied_is_unusable() {
    let fence = in_process(FenceConfig::default());
    purge(&fence, "other").await;
    let head = fence.capture().position;
    for (n, epoch, expected) in [
        (head.n, head.epoch, Verdict::Usable),
        (head.n + 1, head.epoch, Verdict::Unusable),
        (u64::MAX, head.epoch, Verdict::Unusable),
        (u64::MAX, head.epoch ^ 1, Verdict::Unusable),
    ] {
        let position = Position { epoch, n };
        let entry = entry(&Capture { at: 0, position });
        assert_eq!(verdict(&fence, &entry), expected, "{position:?}");
        let is_later = epoch == head.epoch && n > head.n;
        assert_eq!(fence.is_behind(position), is_later, "{position:?}");
    }
}

#[tokio::test]
async fn a_target_names_its_entries_and_no_others() {
    let naming = [
        targets(PurgeTarget::Key, &[KEY]),
        targets(
            PurgeTarget::Prefix,
            &[
                "engagement:",
                "engagement:42:",
                "engagement:4",
                "eng",
                KEY,
                "",
            ],
        ),
        targets(PurgeTarget::Glob, &["engagement:*:tasks", "*tasks"]),
        targets(PurgeTarget::Tag, &["org:1"]),
        targets(PurgeTarget::User, &["user-1"]),
        targets(PurgeTarget::Entity, &["engagement", "engagement:tasks"]),
        vec![PurgeTarget::Everything],
    ];
    let others = [
        targets(PurgeTarget::Key, &["engagement:42"]),
        targets(
            PurgeTarget::Prefix,
            &["engagement:42:tasks:", "engagement:43"],
        ),
        targets(PurgeTarget::Glob, &["engagement:*:task"]),
        targets(PurgeTarget::Tag, &["engagement"]),
        targets(PurgeTarget::User, &["user-2"]),
        targets(PurgeTarget::Entity, &["engagement:task", "tasks"]),
        targets(PurgeTarget::Version, &["engagement:tasks"]),
    ];
    let naming = naming.concat().into_iter().map(|target| (target, true));
    let others = others.concat().into_iter().map(|target| (target, false));
    for (target, names) in naming.chain(others) {
        for soft in [false, true] {
            let fence = in_process(FenceConfig::default());
            let before = fill(&fence);
            assert_eq!(verdict(&fence, &before), Verdict::Usable);
            fence
                .invalidate(vec![target.clone()], soft)
                .await
                .expect("in process");
            let expected = match (names, soft) {
                (false, _) => Verdict::Usable,
                (true, true) => Verdict::Stale,
                (true, false) => Verdict::Unusable,
            };
            assert_eq!(verdict(&fence, &before), expected, "{target} soft: {soft}");
            let after = fill(&fence);
            assert_eq!(verdict(&fence, &after), Verdict::Usable, "{target}");
        }
    }
}

#[tokio::test]
async fn a_fill_that_began_before_an_invalidation_is_unusable_and_not_stored() {
    let fence = in_process(FenceConfig::default());
    let before = fence.capture();
    purge(&fence, KEY).await;
    assert_eq!(verdict(&fence, &entry(&before)), Verdict::Unusable);
    assert!(!may_store(&fence, &before));
    assert!(may_store(&fence, &fence.capture()));
}

/// Hashing the names would be most of the cost of a check.
#[tokio::test]
async fn an_entry_is_checked_by_name_only_if_something_was_named_since() {
    let fence = in_process(FenceConfig::default());
    let check = |entry: &Entry| {
        let mut by_name = false;
        let name = || {
            by_name = true;
            KEY
        };
        let verdict = fence.check_with(entry, name, now(&fence));
        (verdict, by_name)
    };
    let before = fill(&fence);
    assert_eq!(check(&before), (Verdict::Usable, false));
    purge(&fence, "another").await;
    assert_eq!(check(&before), (Verdict::Usable, true));
    assert_eq!(check(&before), (Verdict::Usable, false), "checked already");
    assert_eq!(check(&fill(&fence)), (Verdict::Usable, false));

    let declaration = declare(&fence, "another").await;
    assert_eq!(check(&fill(&fence)), (Verdict::Usable, true));
    close(declaration).await;
    assert_eq!(check(&fill(&fence)), (Verdict::Usable, false));
}

/// An entry of the local tier keeps its hashes from the second check on.
#[tokio::test]
async fn an_entry_that_is_checked_again_and_again_is_still_found_by_its_names() {
    let fence = in_process(FenceConfig::default());
    let entry = fill(&fence);
    for _ in 0..3 {
        purge(&fence, "another").await;
        assert_eq!(verdict(&fence, &entry), Verdict::Usable);
    }
    purge(&fence, KEY).await;
    assert_eq!(verdict(&fence, &entry), Verdict::Unusable);
}

#[tokio::test]
async fn a_declared_write_is_uncacheable_until_it_is_closed_and_then_invalidated() {
    let fence = in_process(FenceConfig::default());
    let before = fill(&fence);
    let declaration = declare(&fence, KEY).await;
    let during = fill(&fence);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    close(declaration).await;
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);

    let dropped = declare(&fence, KEY).await;
    let during = fill(&fence);
    drop(dropped);
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

#[tokio::test]
async fn a_write_through_is_stored_unless_another_write_may_have_come_between() {
    let fence = in_process(FenceConfig::default());
    let append = async |before: &Capture| {
        let position = write_through(&fence, before, KEY).await;
        position.expect("in process")
    };

    let alone = fence.capture();
    purge(&fence, "another").await;
    let position = append(&alone).await.expect("no other write");
    let stored = entry(&Capture { position, ..alone });
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);

    let before = fence.capture();
    purge_target(&fence, name(PurgeTarget::Prefix, "engagement:")).await;
    assert_eq!(append(&before).await, None, "a write in between");

    let open = declare(&fence, KEY).await;
    let before = fence.capture();
    assert_eq!(append(&before).await, None, "an open declaration");
    close(open).await;

    let before = fence.capture();
    for _ in 0..100 {
        purge(&fence, "another").await;
    }
    assert_eq!(append(&before).await, None, "too many records");
}

#[tokio::test]
async fn a_version_grows_with_every_bump() {
    let fence = in_process(FenceConfig::default());
    let cell = fence.version("engagement");
    let bump = || purge_target(&fence, name(PurgeTarget::Version, "engagement"));
    assert_eq!(version_of(&fence, "engagement"), 0);
    bump().await;
    let first = version_of(&fence, "engagement");
    bump().await;
    let second = version_of(&fence, "engagement");
    assert!(0 < first && first < second);
    assert_eq!(cell.load(Ordering::Acquire), second, "the cell follows");
    assert_eq!(version_of(&fence, "agent"), 0);
}

#[tokio::test]
async fn a_subscriber_gets_every_purge_and_a_slow_one_gets_everything() {
    let fence = in_process(FenceConfig::default());
    let mut events = fence.subscribe();
    fence.invalidate(key("a"), true).await.expect("in process");
    let purge_a = Purge {
        target: PurgeTarget::Key("a".into()),
        soft: true,
    };
    assert_eq!(
        events.next().await,
        Some(AppliedEvent::Purges([purge_a].into()))
    );
    for _ in 0..5000 {
        purge(&fence, "a").await;
    }
    assert_eq!(events.next().await, Some(AppliedEvent::Everything));
    drop(fence);
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn many_targets_neither_grow_the_mirror_nor_drop_recent_entries() {
    let fence = in_process(FenceConfig {
        max_targets: 1000,
        ..FenceConfig::default()
    });
    let mut recent = None;
    for i in 0..20_000 {
        if i == 19_900 {
            recent = Some(fill(&fence));
        }
        purge(&fence, &format!("k:{i}")).await;
        let tracked = fence.mirror().read(|mirror| mirror.purges.len());
        assert!(tracked <= 1126);
    }
    assert_eq!(verdict(&fence, &recent.expect("filled")), Verdict::Usable);
}

#[tokio::test]
async fn too_many_globs_widen_the_oldest_to_its_prefix() {
    let fence = in_process(FenceConfig::default());
    let before = fill(&fence);
    purge_target(&fence, name(PurgeTarget::Glob, "engagement:*:other")).await;
    assert_eq!(verdict(&fence, &before), Verdict::Usable);
    for i in 0..64 {
        purge_target(&fence, name(PurgeTarget::Glob, &format!("a{i}:*:b"))).await;
    }
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

#[tokio::test]
async fn too_many_lengths_of_prefixes_widen_a_prefix_to_its_last_whole_segment() {
    let fence = in_process(FenceConfig::default());
    for length in 1..=64 {
        purge_target(&fence, name(PurgeTarget::Prefix, &"x".repeat(length))).await;
    }
    let before = fill(&fence);
    let long = format!("engagement:{}", "x".repeat(200));
    purge_target(&fence, name(PurgeTarget::Prefix, &long)).await;
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

fn target() -> impl Strategy<Value = PurgeTarget> {
    let text = "[ab:]{0,4}".prop_map(Box::<str>::from);
    (0..7_u8, text).prop_map(|(kind, text)| match kind {
        0 => PurgeTarget::Key(text),
        1 => PurgeTarget::Prefix(text),
        2 => PurgeTarget::Glob(format!("{text}*a").into()),
        3 => PurgeTarget::Tag(text),
        4 => PurgeTarget::User(text),
        5 => PurgeTarget::Entity(text),
        _ => PurgeTarget::Everything,
    })
}

/// Whether the target names the entry, by the definition of [`PurgeTarget`].
fn names(target: &PurgeTarget, key: &str, entry: &Entry) -> bool {
    match target {
        PurgeTarget::Key(name) => **name == *key,
        PurgeTarget::Prefix(name) => key.starts_with(&**name),
        PurgeTarget::Glob(name) => {
            let start = name.trim_end_matches("*a");
            key.len() > start.len() && key.starts_with(start) && key.ends_with('a')
        }
        PurgeTarget::Tag(name) => entry.tags.contains(name),
        PurgeTarget::User(name) => entry.user.as_ref() == Some(name),
        PurgeTarget::Entity(name) => {
            !name.is_empty()
                && (entry.entity == *name || entry.entity.starts_with(&format!("{name}:")))
        }
        PurgeTarget::Version(_) => false,
        PurgeTarget::Everything => true,
    }
}

/// An entry with its key and the verdict that it must get.
type ModelEntry = (String, Entry, Verdict);

/// Applies an invalidation to the model.
fn apply(entries: &mut [ModelEntry], target: &PurgeTarget, soft: bool) {
    for (key, entry, verdict) in entries {
        if names(target, key, entry) && *verdict != Verdict::Unusable {
            *verdict = if soft {
                Verdict::Stale
            } else {
                Verdict::Unusable
            };
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Fill {
        key: String,
        tag: String,
        entity: String,
    },
    Purge {
        target: PurgeTarget,
        soft: bool,
    },
    Declare(PurgeTarget),
    Close,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => ("[ab:]{1,5}", "[ab:]{0,2}", "[ab]{1,2}(:[ab]{1,2})?")
            .prop_map(|(key, tag, entity)| Action::Fill { key, tag, entity }),
        3 => (target(), any::<bool>()).prop_map(|(target, soft)| Action::Purge { target, soft }),
        1 => target().prop_map(Action::Declare),
        1 => Just(Action::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The model keeps every entry and applies every invalidation to each.
    #[test]
    fn verdicts_agree_with_a_simple_model(actions in prop::collection::vec(action(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let fence = in_process(FenceConfig::default());
            let mut entries: Vec<ModelEntry> = Vec::new();
            let mut open: Vec<(PurgeTarget, Declaration)> = Vec::new();
            for action in actions {
                match action {
                    Action::Fill { key, tag, entity } => {
                        let mut filled = fill(&fence);
                        filled.tags = [tag.into()].into();
                        filled.user = Some("ab".into());
                        filled.entity = entity.into();
                        entries.push((key, filled, Verdict::Usable));
                    }
                    Action::Purge { target, soft } => {
                        apply(&mut entries, &target, soft);
                        fence.invalidate(vec![target], soft).await.expect("in process");
                    }
                    Action::Declare(target) => {
                        let declared = fence.declare(vec![target.clone()], LEASE).await;
                        open.push((target, declared.expect("in process")));
                    }
                    Action::Close => if let Some((target, declaration)) = open.pop() {
                        apply(&mut entries, &target, false);
                        close(declaration).await;
                    },
                }
                for (key, entry, verdict) in &entries {
                    let declared = open.iter().any(|(target, _)| names(target, key, entry));
                    let expected = if declared { Verdict::Unusable } else { *verdict };
                    let found = fence.check(entry, key, now(&fence));
                    prop_assert_eq!(found, expected, "{} {:?}", key, entry);
                }
            }
            Ok(())
        })?;
    }
}

//! The fence of one process; what takes several stands in `tests_shared`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    clock::{Clock, Timestamp},
    key::purge::{Purge, PurgeTarget},
    semantics::freshness::Lifetime,
    store::entry::{Content, Entry, LocalState, StoredValue},
};

/// A fence whose clock is moved by hand.
fn fence(options: Options) -> (Arc<Fence>, Arc<AtomicU64>) {
    let nanos = Arc::new(AtomicU64::new(1));
    let clock = Arc::new(Clock::manual(Arc::clone(&nanos)));
    (Fence::in_process(clock, options), nanos)
}

pub(super) fn entry(capture: &Capture) -> Entry {
    Entry {
        content: Content::Value(StoredValue {
            json: Bytes::new(),
            lifetime: Lifetime::default(),
            cost: Duration::ZERO,
        }),
        position: capture.position,
        stored: Timestamp(0),
        expires: Timestamp(u64::MAX),
        entity: "engagement:tasks".into(),
        user: Some("user-1".into()),
        tags: ["org:1".into()].into(),
        local: LocalState {
            captured: capture.at,
            ..LocalState::default()
        },
    }
}

pub(super) const KEY: &str = "engagement:42:tasks";

pub(super) fn verdict(fence: &Fence, entry: &Entry) -> Verdict {
    fence.check(entry, KEY, fence.clock.now())
}

pub(super) fn key(name: &str) -> Vec<PurgeTarget> {
    vec![PurgeTarget::Key(name.into())]
}

fn name(subject: fn(Box<str>) -> PurgeTarget, name: &str) -> PurgeTarget {
    subject(name.into())
}

#[tokio::test]
async fn every_kind_of_subject_names_what_it_says_and_no_more() {
    let naming = [
        name(PurgeTarget::Key, KEY),
        name(PurgeTarget::Prefix, "engagement:"),
        name(PurgeTarget::Prefix, "engagement:42:"),
        name(PurgeTarget::Prefix, "engagement:4"),
        name(PurgeTarget::Prefix, "eng"),
        name(PurgeTarget::Prefix, KEY),
        name(PurgeTarget::Prefix, ""),
        name(PurgeTarget::Glob, "engagement:*:tasks"),
        name(PurgeTarget::Glob, "*tasks"),
        name(PurgeTarget::Tag, "org:1"),
        name(PurgeTarget::User, "user-1"),
        name(PurgeTarget::Entity, "engagement"),
        name(PurgeTarget::Entity, "engagement:tasks"),
        PurgeTarget::Everything,
    ];
    let others = [
        name(PurgeTarget::Key, "engagement:42"),
        name(PurgeTarget::Prefix, "engagement:42:tasks:"),
        name(PurgeTarget::Prefix, "engagement:43"),
        name(PurgeTarget::Glob, "engagement:*:task"),
        name(PurgeTarget::Tag, "engagement"),
        name(PurgeTarget::User, "user-2"),
        name(PurgeTarget::Entity, "engagement:task"),
        name(PurgeTarget::Entity, "tasks"),
        name(PurgeTarget::Version, "engagement:tasks"),
    ];
    let naming = naming.into_iter().map(|subject| (subject, true));
    for (subject, names) in naming.chain(others.into_iter().map(|subject| (subject, false))) {
        for soft in [false, true] {
            let (fence, _) = fence(Options::default());
            let before = entry(&fence.capture());
            assert_eq!(verdict(&fence, &before), Verdict::Usable);
            fence
                .invalidate(vec![subject.clone()], soft)
                .await
                .expect("in process");
            let expected = match (names, soft) {
                (false, _) => Verdict::Usable,
                (true, true) => Verdict::Stale,
                (true, false) => Verdict::Unusable,
            };
            assert_eq!(verdict(&fence, &before), expected, "{subject} soft: {soft}");
            let after = entry(&fence.capture());
            assert_eq!(verdict(&fence, &after), Verdict::Usable, "{subject}");
        }
    }
}

#[tokio::test]
async fn a_fill_that_began_before_the_invalidation_is_unusable_and_not_stored() {
    let (fence, _) = fence(Options::default());
    let before = fence.capture();
    fence.invalidate(key(KEY), false).await.expect("in process");
    assert_eq!(verdict(&fence, &entry(&before)), Verdict::Unusable);
    let hashes = subjects_of::<&str>(KEY, "", None, &[]);
    let names = Names {
        key: KEY,
        hashes: &hashes,
    };
    assert!(!fence.may_store(&before, names));
    assert!(fence.may_store(&fence.capture(), names));
}

#[tokio::test]
async fn a_checked_entry_costs_one_comparison_until_something_changes() {
    let (fence, _) = fence(Options::default());
    let entry = entry(&fence.capture());
    assert_eq!(verdict(&fence, &entry), Verdict::Usable);
    assert_eq!(entry.local.checked.load(Ordering::Relaxed), fence.stamp());
    fence
        .invalidate(key("another"), false)
        .await
        .expect("in process");
    assert_ne!(entry.local.checked.load(Ordering::Relaxed), fence.stamp());
    assert_eq!(verdict(&fence, &entry), Verdict::Usable);
    assert_eq!(entry.local.checked.load(Ordering::Relaxed), fence.stamp());
}

/// What comes from Redis is checked once: to hash its names would be most of what that costs.
#[tokio::test]
async fn what_nothing_was_named_after_is_checked_without_its_names() {
    let (fence, _) = fence(Options::default());
    let look = |capture: &Capture| {
        let mut asked = false;
        let name = || {
            asked = true;
            KEY
        };
        let verdict = fence.check_named(&entry(capture), name, fence.clock.now());
        (verdict, asked)
    };
    let before = fence.capture();
    assert_eq!(look(&before), (Verdict::Usable, false));
    let other = || key("another");
    fence.invalidate(other(), false).await.expect("in process");
    assert_eq!(look(&before), (Verdict::Usable, true));
    let after = fence.capture();
    assert_eq!(look(&after), (Verdict::Usable, false));

    let lease = Duration::from_secs(60);
    let declaration = fence.open(other(), lease).await.expect("in process");
    let during = fence.capture();
    assert_eq!(look(&during), (Verdict::Usable, true));
    declaration.close(Vec::new()).await.expect("in process");
    assert_eq!(look(&fence.capture()), (Verdict::Usable, false));
}

/// An entry of the local tier is checked after every invalidation, whatever that names.
#[tokio::test]
async fn the_names_of_what_is_used_again_are_kept() {
    let (fence, _) = fence(Options::default());
    let entry = entry(&fence.capture());
    for kept in [false, true] {
        let other = key("another");
        fence.invalidate(other, false).await.expect("in process");
        assert_eq!(verdict(&fence, &entry), Verdict::Usable);
        assert_eq!(entry.local.subjects.get().is_some(), kept);
    }
    fence.invalidate(key(KEY), false).await.expect("in process");
    assert_eq!(verdict(&fence, &entry), Verdict::Unusable);
}

#[tokio::test]
async fn a_declared_write_is_uncacheable_until_it_is_closed_and_then_invalidated() {
    let (fence, _) = fence(Options::default());
    let lease = Duration::from_secs(60);
    let before = entry(&fence.capture());
    let declaration = fence.open(key(KEY), lease).await.expect("in process");
    let during = entry(&fence.capture());
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    declaration.close(Vec::new()).await.expect("in process");
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);

    let dropped = fence.open(key(KEY), lease).await.expect("in process");
    let during = entry(&fence.capture());
    drop(dropped);
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

#[tokio::test]
async fn a_write_through_is_stored_unless_another_write_may_have_come_between() {
    let (fence, _) = fence(Options::default());
    let hashes = subjects_of::<&str>(KEY, "engagement", None, &[]);
    let target = Names {
        key: KEY,
        hashes: &hashes,
    };

    let alone = fence.capture();
    fence
        .invalidate(key("another"), false)
        .await
        .expect("in process");
    let at = fence
        .write_through(&alone, key(KEY), target)
        .await
        .expect("in process");
    let stored = Capture {
        position: at.expect("alone"),
        ..alone
    };
    assert_eq!(verdict(&fence, &entry(&stored)), Verdict::Usable);

    let overtaken = fence.capture();
    let prefix = vec![PurgeTarget::Prefix("engagement:".into())];
    fence.invalidate(prefix, false).await.expect("in process");
    let at = fence.write_through(&overtaken, key(KEY), target).await;
    assert_eq!(at.expect("in process"), None);

    let other = fence
        .open(key(KEY), Duration::from_secs(60))
        .await
        .expect("in process");
    let beside = fence.capture();
    let at = fence.write_through(&beside, key(KEY), target).await;
    assert_eq!(at.expect("in process"), None, "another write is open");
    other.close(Vec::new()).await.expect("in process");

    let long_ago = fence.capture();
    for _ in 0..100 {
        fence
            .invalidate(key("another"), false)
            .await
            .expect("in process");
    }
    let at = fence.write_through(&long_ago, key(KEY), target).await;
    assert_eq!(
        at.expect("in process"),
        None,
        "nobody can tell what came between"
    );
}

#[tokio::test]
async fn a_declared_write_through_does_not_stand_in_its_own_way() {
    let (fence, _) = fence(Options::default());
    let hashes = subjects_of::<&str>(KEY, "engagement", None, &[]);
    let target = Names {
        key: KEY,
        hashes: &hashes,
    };
    let declaration = fence
        .open(key(KEY), Duration::from_secs(60))
        .await
        .expect("in process");
    let before = fence.capture();
    let at = declaration
        .close_through(&before, target)
        .await
        .expect("in process");
    let stored = Capture {
        position: at.expect("alone"),
        ..before
    };
    assert_eq!(verdict(&fence, &entry(&stored)), Verdict::Usable);
}

#[tokio::test(start_paused = true)]
async fn lagging_reads_after_an_invalidation_are_not_stored_and_invalidated_again() {
    let settle = Duration::from_secs(1);
    let (fence, nanos) = fence(Options {
        settle,
        ..Options::default()
    });
    let hashes = subjects_of::<&str>(KEY, "", None, &[]);
    let names = Names {
        key: KEY,
        hashes: &hashes,
    };
    fence.invalidate(key(KEY), false).await.expect("in process");
    let lagging = fence.capture();
    assert!(!fence.may_store(&lagging, names));
    let elsewhere = Names {
        key: "x",
        hashes: &subjects_of::<&str>("x", "", None, &[]),
    };
    assert!(fence.may_store(&lagging, elsewhere));

    let first = fence.position();
    nanos.fetch_add(1_100_000_000, Ordering::Relaxed);
    tokio::time::sleep(settle * 2).await;
    assert_eq!(fence.position().n, first.n + 1, "appended again");
    assert_eq!(verdict(&fence, &entry(&lagging)), Verdict::Unusable);
    nanos.fetch_add(1_100_000_000, Ordering::Relaxed);
    assert!(fence.may_store(&fence.capture(), names));
}

#[tokio::test]
async fn a_version_follows_its_records() {
    let (fence, _) = fence(Options::default());
    let cell = fence.version("engagement");
    assert_eq!(cell.load(Ordering::Acquire), 0);
    let bump = || vec![PurgeTarget::Version("engagement".into())];
    fence.invalidate(bump(), false).await.expect("in process");
    let first = cell.load(Ordering::Acquire);
    fence.invalidate(bump(), false).await.expect("in process");
    let second = cell.load(Ordering::Acquire);
    assert!(0 < first && first < second);
    assert_eq!(fence.version("engagement").load(Ordering::Acquire), second);
    assert_eq!(fence.version("agent").load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn listeners_hear_of_every_invalidation_and_slow_ones_of_everything() {
    let (fence, _) = fence(Options::default());
    let mut heard = fence.subscribe();
    fence.invalidate(key("a"), true).await.expect("in process");
    let purge = Purge {
        subject: PurgeTarget::Key("a".into()),
        soft: true,
    };
    assert_eq!(heard.next().await, Some(News::Purges([purge].into())));
    for _ in 0..5000 {
        fence.invalidate(key("a"), false).await.expect("in process");
    }
    assert_eq!(heard.next().await, Some(News::Everything));
    drop(fence);
    while heard.next().await.is_some() {}
}

#[tokio::test]
async fn a_million_subjects_neither_grow_it_nor_flush_what_is_new() {
    let (fence, _) = fence(Options {
        subjects: 1000,
        ..Options::default()
    });
    let mut recent = None;
    for i in 0..20_000 {
        if i == 19_900 {
            recent = Some(entry(&fence.capture()));
        }
        fence
            .invalidate(key(&format!("k:{i}")), false)
            .await
            .expect("in process");
        assert!(fence.read(|mirror| mirror.live_subjects()) <= 1126);
    }
    assert_eq!(verdict(&fence, &recent.expect("captured")), Verdict::Usable);
}

#[tokio::test]
async fn globs_beyond_the_room_for_them_widen_to_their_beginning() {
    let (fence, _) = fence(Options::default());
    let glob = |i: u32| vec![PurgeTarget::Glob(format!("a{i}:*:b").into())];
    let before = entry(&fence.capture());
    fence
        .invalidate(vec![PurgeTarget::Glob("engagement:*:other".into())], false)
        .await
        .expect("in process");
    assert_eq!(verdict(&fence, &before), Verdict::Usable);
    for i in 0..64 {
        fence.invalidate(glob(i), false).await.expect("in process");
    }
    assert_eq!(
        verdict(&fence, &before),
        Verdict::Unusable,
        "the oldest has become a prefix"
    );
}

#[tokio::test]
async fn more_lengths_of_prefixes_than_live_widen_to_whole_segments() {
    let (fence, _) = fence(Options::default());
    for length in 1..=64 {
        let prefix = PurgeTarget::Prefix("x".repeat(length).into());
        fence
            .invalidate(vec![prefix], false)
            .await
            .expect("in process");
    }
    let before = entry(&fence.capture());
    let long = format!("engagement:{}", "x".repeat(200));
    fence
        .invalidate(vec![PurgeTarget::Prefix(long.into())], false)
        .await
        .expect("in process");
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

fn subject() -> impl Strategy<Value = PurgeTarget> {
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

/// What the words of the documentation say, without any table.
fn names(subject: &PurgeTarget, key: &str, entry: &Entry) -> bool {
    match subject {
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

#[derive(Clone, Debug)]
enum Act {
    Fill {
        key: String,
        tag: String,
        entity: String,
    },
    Purge {
        subject: PurgeTarget,
        soft: bool,
    },
    Open(PurgeTarget),
    Close,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => ("[ab:]{1,5}", "[ab:]{0,2}", "[ab]{1,2}(:[ab]{1,2})?")
            .prop_map(|(key, tag, entity)| Act::Fill { key, tag, entity }),
        3 => (subject(), any::<bool>()).prop_map(|(subject, soft)| Act::Purge { subject, soft }),
        1 => subject().prop_map(Act::Open),
        1 => Just(Act::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Against a model that knows every entry and every invalidation since it began.
    #[test]
    fn the_mirror_agrees_with_a_simple_model(acts in prop::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (fence, _) = fence(Options::default());
            let mut entries: Vec<(String, Entry, Verdict)> = Vec::new();
            let mut open: Vec<(PurgeTarget, Declaration)> = Vec::new();
            for act in acts {
                match act {
                    Act::Fill { key, tag, entity } => {
                        let mut filled = entry(&fence.capture());
                        filled.tags = [tag.into()].into();
                        filled.user = Some("ab".into());
                        filled.entity = entity.into();
                        entries.push((key, filled, Verdict::Usable));
                    }
                    Act::Purge { subject, soft } => {
                        for (key, entry, verdict) in &mut entries {
                            if names(&subject, key, entry) && *verdict != Verdict::Unusable {
                                *verdict = if soft { Verdict::Stale } else { Verdict::Unusable };
                            }
                        }
                        fence.invalidate(vec![subject], soft).await.expect("in process");
                    }
                    Act::Open(subject) => {
                        let lease = Duration::from_secs(60);
                        let declared = fence.open(vec![subject.clone()], lease).await;
                        open.push((subject, declared.expect("in process")));
                    }
                    Act::Close => if let Some((subject, declaration)) = open.pop() {
                        for (key, entry, verdict) in &mut entries {
                            if names(&subject, key, entry) {
                                *verdict = Verdict::Unusable;
                            }
                        }
                        declaration.close(Vec::new()).await.expect("in process");
                    },
                }
                for (key, entry, verdict) in &entries {
                    let declared = open.iter().any(|(subject, _)| names(subject, key, entry));
                    let expected = if declared { Verdict::Unusable } else { *verdict };
                    let found = fence.check(entry, key, fence.clock.now());
                    prop_assert_eq!(found, expected, "{} {:?}", key, entry);
                }
            }
            Ok(())
        })?;
    }
}

//! The list of a key's variants.

use crate::{
    clock::Timestamp,
    semantics::stored_response::{ListedVariant, Variant, Variants},
    store::entry::{Content, Entry},
};

/// The maximum number of variants of one key.
const MAX_VARIANTS: usize = 64;
/// The maximum size of the responses of one key's variants together, in bytes.
const MAX_WEIGHT: usize = 16 << 20;

/// A key's list of variants after one was stored, and the variants that no longer have room in it.
pub(super) struct UpdatedList {
    pub(super) list: Entry,
    pub(super) dropped: Vec<Variant>,
}

/// Adds `variant`, whose response is `entry`, to the front of a key's list of variants. The list has the
/// position of `entry`, and expires with the variant that expires last.
///
/// If the list becomes too long or too heavy, the least recently used variants are dropped: clients
/// with unusual requests must not evict what others use. `last_use` tells this process's last use of a
/// variant.
pub(super) fn list_with(
    known: Option<&Entry>,
    variant: &Variant,
    entry: &Entry,
    last_use: impl Fn(&Variant) -> Timestamp,
) -> UpdatedList {
    let others = known.and_then(|known| match &known.content {
        Content::Variants(Variants(list)) => Some(list),
        _ => None,
    });
    let others = others.into_iter().flatten();
    let others = others.filter(|other| other.variant != *variant);
    let newest = ListedVariant {
        variant: variant.clone(),
        weight: usize::try_from(entry.weight()).unwrap_or(usize::MAX),
        used: entry.stored,
    };
    let mut variants = vec![newest];
    variants.extend(others.map(|other| ListedVariant {
        used: other.used.max(last_use(&other.variant)),
        ..other.clone()
    }));
    let dropped = drop_least_recently_used(&mut variants);
    let mut list = entry.with_content(Content::Variants(Variants(variants)));
    if let Some(known) = known {
        list.expires = list.expires.max(known.expires);
    }
    UpdatedList { list, dropped }
}

/// Removes variants until the rest have room; never the first one, which was stored just now.
fn drop_least_recently_used(variants: &mut Vec<ListedVariant>) -> Vec<Variant> {
    let mut dropped = Vec::new();
    while exceeds_bounds(variants) {
        // Of several with the same time, the one that was stored first goes.
        let others = variants.iter().enumerate().skip(1).rev();
        let Some((least, _)) = others.min_by_key(|(_, listed)| listed.used) else {
            break;
        };
        dropped.push(variants.remove(least).variant);
    }
    dropped
}

fn exceeds_bounds(variants: &[ListedVariant]) -> bool {
    let add = |sum: usize, listed: &ListedVariant| sum.saturating_add(listed.weight);
    variants.len() > MAX_VARIANTS || variants.iter().fold(0, add) > MAX_WEIGHT
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        semantics::freshness::Lifetime,
        store::{
            entry::{LocalState, StoredValue},
            position::Position,
        },
    };

    fn variant(name: &str) -> Variant {
        Variant {
            fields: Box::default(),
            hash: name.into(),
            by_language: None,
        }
    }

    fn entry(size: usize, stored: u64) -> Entry {
        Entry {
            content: Content::Value(StoredValue {
                json: Bytes::from(vec![b'x'; size]),
                lifetime: Lifetime::default(),
                cost: Default::default(),
            }),
            position: Position::UNKNOWN,
            stored: Timestamp(stored),
            expires: Timestamp(u64::MAX),
            entity: Box::default(),
            user: None,
            tags: Box::default(),
            local: LocalState::default(),
        }
    }

    /// Stores variants of this size, one in each millisecond. `used` is in use until then. Returns the
    /// last list, and how many variants were dropped.
    fn store(number: u64, size: usize, used: &str) -> (Vec<String>, usize) {
        let mut list: Option<Entry> = None;
        let mut dropped = 0;
        for id in 1..=number {
            let last_use = |variant: &Variant| match &*variant.hash == used {
                true => Timestamp(id - 1),
                false => Timestamp(0),
            };
            let (variant, entry) = (variant(&id.to_string()), entry(size, id));
            let updated = list_with(list.as_ref(), &variant, &entry, last_use);
            dropped += updated.dropped.len();
            list = Some(updated.list);
        }
        let Some(Content::Variants(variants)) = list.map(|list| list.content) else {
            panic!("not a list");
        };
        let names = variants.iter().map(|variant| variant.hash.to_string());
        (names.collect(), dropped)
    }

    #[test]
    fn the_least_recently_used_variant_is_dropped() {
        let (names, dropped) = store(1000, 10, "1");
        assert_eq!((names.len(), dropped), (64, 936));
        assert_eq!((&*names[0], &*names[62], &*names[63]), ("1000", "938", "1"));
        let (names, _) = store(1000, 10, "none");
        assert_eq!(names[63], "937");
    }

    #[test]
    fn the_weight_of_all_variants_is_bounded() {
        let (names, _) = store(100, (1 << 20) - 1, "1");
        assert_eq!((names.len(), &*names[15]), (16, "1"));
        let (names, dropped) = store(3, MAX_WEIGHT + 1, "1");
        assert_eq!(
            (names, dropped),
            (vec!["3".to_owned()], 2),
            "one is kept in any case"
        );
    }

    #[test]
    fn a_variant_that_is_stored_again_is_listed_once() {
        let first = list_with(None, &variant("a"), &entry(10, 1), |_| Timestamp(0));
        let again = list_with(Some(&first.list), &variant("a"), &entry(20, 2), |_| {
            Timestamp(0)
        });
        let Content::Variants(Variants(list)) = &again.list.content else {
            panic!("not a list");
        };
        assert_eq!(
            (list.len(), list[0].weight, list[0].used),
            (1, 20, Timestamp(2))
        );
    }
}

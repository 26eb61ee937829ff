//! The list of a key's variants.

use crate::{
    semantics::stored_response::{Variant, Variants},
    store::entry::{Content, Entry},
};

/// The maximum number of variants of one key; the oldest is dropped first.
const MAX_VARIANTS: usize = 16;

/// Adds `variant`, whose response is `entry`, to the front of a key's list of variants. The list has the
/// position of `entry`, and expires with the variant that expires last.
pub(super) fn list_with(known: Option<&Entry>, variant: &Variant, entry: &Entry) -> Entry {
    let others = known.and_then(|known| match &known.content {
        Content::Variants(Variants(list)) => Some(list),
        _ => None,
    });
    let others = others.into_iter().flatten().filter(|v| *v != variant);
    let list = std::iter::once(variant).chain(others).take(MAX_VARIANTS);
    let mut list = entry.with_content(Content::Variants(Variants(list.cloned().collect())));
    if let Some(known) = known {
        list.expires = list.expires.max(known.expires);
    }
    list
}

//! The list of a key's variants.

use crate::{
    semantics::stored_response::{Variant, Variants},
    store::entry::{Content, Entry},
};

/// How many variants of one key are kept; the oldest is dropped first.
const MAX_VARIANTS: usize = 16;

/// The list of a key's variants with `variant` in front. Its position is that of `entry`, the latest;
/// it expires with the variant that lives longest.
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

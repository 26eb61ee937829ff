//! Field sections that hold nothing but themselves, and what they hold.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The same fields, with no room to spare and the values in one allocation of their own: as they
/// came they may be slices of a read buffer many times their size.
pub(crate) fn fields(loose: &HeaderMap) -> HeaderMap {
    let mut compact = HeaderMap::with_capacity(loose.keys_len());
    append(loose, &mut compact);
    // A clone has exactly the room that it needs.
    compact.clone()
}

/// Adds every field, its value a part of one new allocation; a name that is not a standard one gets
/// one of its own, too.
pub(crate) fn append(from: &HeaderMap, to: &mut HeaderMap) {
    let length = from.values().map(HeaderValue::len).sum();
    let mut values = BytesMut::with_capacity(length);
    for value in from.values() {
        values.extend_from_slice(value.as_bytes());
    }
    let mut values = values.freeze();
    for (name, value) in from {
        let sensitive = value.is_sensitive();
        let bytes = values.split_to(value.len());
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_maybe_shared(bytes)) {
            value.set_sensitive(sensitive);
            to.append(name, value);
        }
    }
}

/// The bytes that compact fields hold at most.
pub(crate) fn weight(fields: &HeaderMap) -> usize {
    let text = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    SECTION
        + fields
            .iter()
            .map(|field| FIELD + text(field))
            .sum::<usize>()
}

/// What one more field takes, beside its text: its slot, its places in the index, and the reference
/// count of its name.
pub(crate) const FIELD: usize = 144;
/// The least index, and the reference count of the values.
const SECTION: usize = 64;

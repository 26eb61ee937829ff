//! Copies of header maps without spare capacity, and their size in memory.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The memory of one field in addition to its text, in bytes: its slot, its places in the index, and
/// the reference count of its name.
pub(crate) const FIELD_OVERHEAD: usize = 144;
/// The smallest index, and the reference count of the values.
const MAP_OVERHEAD: usize = 64;

/// Copies `fields` without spare capacity and with all values in one allocation: values as received may
/// be slices of a read buffer many times their size.
pub(crate) fn compact(fields: &HeaderMap) -> HeaderMap {
    let mut copy = HeaderMap::with_capacity(fields.keys_len());
    append_compact(fields, &mut copy);
    // A clone has exactly the capacity that it needs.
    copy.clone()
}

/// Appends a copy of every field of `from`. The values share one new allocation; each name that
/// is not a standard one has its own.
pub(crate) fn append_compact(from: &HeaderMap, to: &mut HeaderMap) {
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

/// The bytes that a [`compact`] map takes at most.
pub(crate) fn weight(fields: &HeaderMap) -> usize {
    let text = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let fields = fields.iter().map(|field| FIELD_OVERHEAD + text(field));
    MAP_OVERHEAD + fields.sum::<usize>()
}

//! A stored body that clients may hold for longer than its entries live.
//!
//! While a tier holds the entry, the body costs nothing more for a hit, whose bytes are shared. Once all
//! entries with the body have gone, by eviction for example, its bytes count towards the budget until the
//! last response with them has been sent or dropped. A hit itself has no work for that.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::buffer_budget::BufferPermit;
use crate::error::ignore_poison;

/// Held by the entries with a body, after the body itself.
#[derive(Clone, Debug)]
pub(crate) struct BodyHolder {
    // Read by its drop alone.
    _last: Arc<LastHolder>,
}

#[derive(Debug)]
struct LastHolder {
    permit: Arc<Mutex<BufferPermit>>,
    length: usize,
}

impl Drop for LastHolder {
    fn drop(&mut self) {
        // Otherwise the bytes have gone before, as nearly always.
        if Arc::strong_count(&self.permit) > 1 {
            ignore_poison(self.permit.lock()).grow_to(self.length);
        }
    }
}

/// What all clones and slices of the returned bytes share.
struct CountedBytes {
    bytes: Bytes,
    // Dropped after the bytes.
    _permit: Arc<Mutex<BufferPermit>>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes `body` count by `permit` from when the last clone of the returned holder is dropped until all
/// clones and slices of the returned bytes are.
pub(crate) fn counted_body(body: Bytes, permit: BufferPermit) -> (Bytes, BodyHolder) {
    let (permit, length) = (Arc::new(Mutex::new(permit)), body.len());
    let bytes = Bytes::from_owner(CountedBytes {
        bytes: body,
        _permit: Arc::clone(&permit),
    });
    let _last = Arc::new(LastHolder { permit, length });
    (bytes, BodyHolder { _last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::buffer_budget::{BufferBudget, UNCOUNTED};

    #[test]
    fn a_body_counts_while_it_is_held_without_an_entry() {
        let budget = BufferBudget::new(1);
        let body = Bytes::from(vec![0; UNCOUNTED + 1]);
        let (body, holder) = counted_body(body, budget.permit());
        let copy = holder.clone();
        let slice = body.slice(..1);
        drop(holder);
        assert!(!budget.is_full(), "another entry has the body");
        drop(copy);
        assert!(budget.is_full());
        drop(body);
        assert!(budget.is_full(), "a part keeps the whole in memory");
        drop(slice);
        assert!(!budget.is_full());
    }

    #[test]
    fn a_body_that_goes_before_its_entry_never_counts() {
        let budget = BufferBudget::new(1);
        let body = Bytes::from(vec![0; UNCOUNTED + 1]);
        let (body, holder) = counted_body(body, budget.permit());
        drop(body);
        drop(holder);
        assert!(!budget.is_full());
    }
}

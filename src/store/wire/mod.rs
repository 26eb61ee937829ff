//! The format of an entry in Redis.
//!
//! All integers are big-endian. Version 1, offsets and sizes in bytes:
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 4 | magic `F5 54 4B 45` |
//! | 4 | 4 | CRC-32 (IEEE) of everything from offset 8 on |
//! | 8 | 1 | version |
//! | 9 | 1 | kind: 1 response, 2 variants, 3 application value |
//! | 10 | 2 | flags |
//! | 12 | 4 | offset of the body |
//! | 16 | 8 | fence position: epoch |
//! | 24 | 8 | fence position: n |
//! | 32 | 8 | stored, milliseconds since the Unix epoch |
//! | 40 | 8 | expires, likewise |
//! | 48 | 8 | freshness lifetime, milliseconds |
//! | 56 | 8 | initial age, milliseconds |
//! | 64 | 8 | stale-while-revalidate, milliseconds |
//! | 72 | 8 | stale-if-error, milliseconds |
//! | 80 | 8 | cost, microseconds |
//! | 88 | 16 | hash of the key: the first 128 bits of the SHA-256 of namespace and full key |
//! | 104 | | the variable part of the head, see below |
//! | offset of the body | to the end | body of the response, or JSON text of the value |
//!
//! Flags, from the lowest bit: must-revalidate, no-cache, heuristic, has a user, has trailers, is a
//! partial response, its complete length is known, explicit, shared.
//!
//! The variable part, in this order. A *length* or *count* is a LEB128 number of at most 32 bits, a
//! *text* a length and that many bytes of UTF-8.
//!
//! - entity: text; the user, if flagged: text; count of tags, and each: text.
//! - Of a response: status, 2 bytes; if flagged, the position of the first byte, 8 bytes; if flagged, the
//!   complete length, 8 bytes; header fields; if flagged, trailer fields. Fields are a count, and for each a
//!   name, a length and the value's bytes. A name is one byte, its number in [`names`]; or 0 and a text.
//! - Of variants: a count, and for each its hash (text), its hash by language (text, empty if there is
//!   none), a count and that many names. Then, unless the head ends here, for each the size of its response
//!   (a length) and when it was last used, 8 bytes, milliseconds since the Unix epoch.
//!
//! Several versions of the crate share one Redis during a rolling deployment:
//!
//! - Readers skip bytes between the end of the known head and the body, and ignore unknown flags among the
//!   lower twelve: a later version may add optional data there.
//! - An unknown version, kind, name, or flag among the upper four is a miss: a later version uses them for
//!   data that readers must understand.
//! - Magic, version, fence position and hash of the key keep their offsets in every version, as `put.lua`
//!   reads them.
//!
//! Data from Redis is not trusted. Lengths are checked against the bytes that follow, and counts against
//! bounds, before anything is allocated. An entry that was stored under another key, or that this process
//! could not have stored, is a miss, see [`ReadContext`].

mod decode;
mod encode;
mod key_hash;
mod names;
mod read_context;
#[cfg(test)]
mod tests;
mod unreadable;

pub(crate) use self::{
    decode::decode, encode::encode, key_hash::KeyHash, read_context::ReadContext,
    unreadable::Unreadable,
};

pub(crate) const MAGIC: [u8; 4] = *b"\xF5TKE";
const VERSION: u8 = 1;

/// Offsets in the fixed part.
mod at {
    pub(super) const CHECKSUM: usize = 4;
    pub(super) const VERSION: usize = 8;
    pub(super) const KEY_HASH: usize = 88;
    pub(super) const KEY_HASH_SIZE: usize = 16;
    pub(super) const FIXED_END: usize = KEY_HASH + KEY_HASH_SIZE;
}

/// The most items of an entry that is written or read.
mod max {
    pub(super) const TAGS: usize = 1024;
    pub(super) const VARIANTS: usize = 256;
    pub(super) const VARIANT_FIELDS: usize = 64;
    /// More than any server sends, and well below the capacity of a `HeaderMap`.
    pub(super) const FIELDS: usize = 16 * 1024;
}

mod kind {
    pub(super) const RESPONSE: u8 = 1;
    pub(super) const VARIANTS: u8 = 2;
    pub(super) const VALUE: u8 = 3;
}

mod flag {
    pub(super) const MUST_REVALIDATE: u16 = 1;
    pub(super) const NO_CACHE: u16 = 1 << 1;
    pub(super) const HEURISTIC: u16 = 1 << 2;
    pub(super) const USER: u16 = 1 << 3;
    pub(super) const TRAILERS: u16 = 1 << 4;
    pub(super) const PART: u16 = 1 << 5;
    pub(super) const COMPLETE: u16 = 1 << 6;
    pub(super) const EXPLICIT: u16 = 1 << 7;
    pub(super) const SHARED: u16 = 1 << 8;
    /// Flags that a reader must know to use the entry.
    pub(super) const CRITICAL: u16 = 0xf000;
}

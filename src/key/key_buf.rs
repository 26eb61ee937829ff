//! A key and its variations, while they are written.

use std::{fmt, ops::Range};

use super::{
    content::ContentHash,
    encode::{self, KeyBytes},
};

/// A full key under construction: key, `~version`, `@user`, `?query`, `#vary`, in this order.
#[derive(Clone, Default)]
pub(crate) struct KeyBuf {
    bytes: KeyBytes,
    /// The length of the key without its variations.
    base: usize,
    /// Where the user is in `bytes`.
    user: Option<Range<usize>>,
}

impl KeyBuf {
    #[inline]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A key given by the application; its only variation is the version.
    pub(crate) fn of(key: &str, fixed: u64, bumped: u64) -> Self {
        let mut buf = Self::new();
        buf.bytes.extend_from_slice(key.as_bytes());
        buf.end_base();
        buf.push_version(fixed, bumped);
        buf
    }

    /// The full key.
    pub(crate) fn as_str(&self) -> &str {
        encode::text(&self.bytes)
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key without its variations: the part that invalidations name.
    pub(crate) fn base(&self) -> &str {
        encode::text(&self.bytes[..self.base])
    }

    /// The user in the key, encoded by [`encode::push_value`].
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.clone().map(|at| encode::text(&self.bytes[at]))
    }

    /// The key in the write-behind queue: the key without its variations other than the user. Writes with
    /// the same one are applied in order.
    pub(crate) fn queue_key(&self) -> Box<str> {
        match self.user() {
            Some(user) => format!("{}@{user}", self.base()).into(),
            None => self.base().into(),
        }
    }

    /// Adds the hash of a QUERY request's content.
    pub(crate) fn push_content(&mut self, content: ContentHash) {
        // No other query has a bare `+` and `=` at this place: in a hashed query, digits follow it.
        self.bytes.extend_from_slice(b"?+=");
        self.bytes.extend_from_slice(content.digits());
    }

    /// The full key of a variant.
    pub(crate) fn variant_key(&self, hash: &str) -> String {
        format!("{}#{hash}", self.as_str())
    }

    /// Replaces the route's key by the application's, and keeps the variations.
    pub(crate) fn replace_base(&mut self, key: &str) {
        let variations = KeyBytes::from_slice(&self.bytes[self.base..]);
        self.bytes.clear();
        self.bytes.extend_from_slice(key.as_bytes());
        let moved = |at: usize| at - self.base + key.len();
        self.user = self.user.take().map(|at| moved(at.start)..moved(at.end));
        self.base = key.len();
        self.bytes.extend_from_slice(&variations);
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut KeyBytes {
        &mut self.bytes
    }

    /// Ends the key without its variations; they follow.
    #[inline]
    pub(crate) fn end_base(&mut self) {
        encode::shorten(&mut self.bytes, 0, encode::KEY_MAX);
        self.base = self.bytes.len();
    }

    /// Adds the version: `~2` if only the table sets one, `~2.17` if it was also bumped at run time.
    /// Zero stands for no version.
    #[inline]
    pub(crate) fn push_version(&mut self, fixed: u64, bumped: u64) {
        if fixed | bumped != 0 {
            self.write_version(fixed, bumped);
        }
    }

    fn write_version(&mut self, fixed: u64, bumped: u64) {
        self.bytes.push(b'~');
        push_number(fixed, &mut self.bytes);
        if bumped != 0 {
            self.bytes.push(b'.');
            push_number(bumped, &mut self.bytes);
        }
    }

    pub(crate) fn push_user(&mut self, user: &str) {
        self.bytes.push(b'@');
        let start = self.bytes.len();
        encode::push_value(user.as_bytes(), &mut self.bytes);
        self.user = Some(start..self.bytes.len());
    }
}

impl fmt::Debug for KeyBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyBuf").field(&self.as_str()).finish()
    }
}

fn push_number(number: u64, out: &mut KeyBytes) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

//! The encoding of requests and responses in the queue: magic, version and checksum, then lengths and
//! bytes. Integers are big-endian.

use std::str;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

const MAGIC: [u8; 3] = *b"TKQ";
const VERSION: u8 = 1;
/// Magic, version, and the CRC-32 (IEEE) of everything behind.
const HEAD: usize = 8;
/// The most fields of a request or response; more than any client or server sends.
pub(crate) const MAX_FIELDS: usize = 1024;

/// Why stored bytes are not a record of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A version that a later release of this crate may have written: to be left alone.
    UnknownVersion,
    /// Not what was written.
    Damaged,
}

/// Writes a record from front to back.
pub(super) struct RecordWriter(Vec<u8>);

impl RecordWriter {
    pub(super) fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + capacity);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        Self(bytes)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// # Panics
    ///
    /// Never: a text longer than 4 GiB is cut, which its reader refuses as damaged.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn optional(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    pub(super) fn count(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&count.to_be_bytes());
    }

    pub(super) fn fields(&mut self, fields: &HeaderMap) {
        self.count(fields.len());
        for (name, value) in fields {
            self.text(name.as_str());
            self.bytes(value.as_bytes());
        }
    }

    pub(super) fn finish(mut self) -> Bytes {
        let checksum = crc32fast::hash(&self.0[HEAD..]);
        self.0[4..HEAD].copy_from_slice(&checksum.to_be_bytes());
        self.0.into()
    }
}

/// Reads a record from front to back. Lengths are checked before anything is allocated.
pub(super) struct RecordReader<'a> {
    whole: &'a Bytes,
    at: usize,
}

impl<'a> RecordReader<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Result<Self, Unreadable> {
        let (head, rest) = whole.split_at_checked(HEAD).ok_or(Unreadable::Damaged)?;
        if head[..3] != MAGIC {
            return Err(Unreadable::Damaged);
        }
        if head[3] != VERSION {
            return Err(Unreadable::UnknownVersion);
        }
        if crc32fast::hash(rest).to_be_bytes() != head[4..] {
            return Err(Unreadable::Damaged);
        }
        Ok(Self { whole, at: HEAD })
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unreadable> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A slice of the whole.
    pub(super) fn bytes(&mut self) -> Result<Bytes, Unreadable> {
        let length = self.count()?;
        let end = self.at.checked_add(length).ok_or(Unreadable::Damaged)?;
        if end > self.whole.len() {
            return Err(Unreadable::Damaged);
        }
        let bytes = self.whole.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, Unreadable> {
        let bytes = self.bytes()?;
        let text = str::from_utf8(&bytes).map_err(|_| Unreadable::Damaged)?;
        Ok(text.into())
    }

    pub(super) fn optional(&mut self) -> Result<Option<Box<str>>, Unreadable> {
        let is_some = self.byte()? != 0;
        let text = self.text()?;
        Ok(is_some.then_some(text))
    }

    pub(super) fn count(&mut self) -> Result<usize, Unreadable> {
        let count = u32::from_be_bytes(self.array()?);
        usize::try_from(count).map_err(|_| Unreadable::Damaged)
    }

    pub(super) fn fields(&mut self) -> Result<HeaderMap, Unreadable> {
        let count = self.count()?;
        if count > MAX_FIELDS {
            return Err(Unreadable::Damaged);
        }
        let mut fields = HeaderMap::new();
        for _ in 0..count {
            let name = HeaderName::from_bytes(&self.bytes()?);
            let value = HeaderValue::from_maybe_shared(self.bytes()?);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Unreadable::Damaged);
            };
            fields.append(name, value);
        }
        Ok(fields)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let array = self.whole[self.at..]
            .first_chunk()
            .ok_or(Unreadable::Damaged)?;
        self.at += N;
        Ok(*array)
    }
}

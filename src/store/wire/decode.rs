//! Decodes an entry from untrusted bytes.

use std::{str, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    MAGIC, VERSION, at, flag, key_hash::KeyHash, kind, max, names, read_context::ReadContext,
    unreadable::Unreadable,
};
use crate::{
    clock::Timestamp,
    semantics::{
        freshness::Lifetime,
        stored_response::{Part, StoredResponse, Variant, Variants},
    },
    store::{
        entry::{Content, Entry, LocalState, StoredValue},
        position::Position,
    },
};

/// Decodes an entry; its field values and its body are slices of `stored`. Its times are cut to what the
/// context allows.
pub(crate) fn decode(stored: &Bytes, context: &ReadContext) -> Result<Arc<Entry>, Unreadable> {
    let fixed = FixedHead::read(stored, context)?;
    let mut head = HeadReader {
        whole: stored,
        body: fixed.body,
        rest: &stored[at::FIXED_END..fixed.body],
    };
    let entity = head.text()?;
    let user = fixed.has(flag::USER).then(|| head.text()).transpose()?;
    let tags = head.tags()?;
    let content = match fixed.kind {
        kind::RESPONSE => {
            let response = head.response(&fixed)?;
            context.check_response(&response)?;
            Content::Response(response)
        }
        kind::VARIANTS => Content::Variants(head.variants()?),
        _ => Content::Value(StoredValue {
            json: stored.slice(fixed.body..),
            lifetime: fixed.lifetime,
            cost: fixed.cost,
        }),
    };
    Ok(Arc::new(Entry {
        content,
        position: fixed.position,
        stored: fixed.stored,
        expires: fixed.expires,
        entity,
        user,
        tags,
        local: LocalState::default(),
    }))
}

/// The fixed part of the head; magic, checksum, version, kind, flags and body offset are checked.
struct FixedHead {
    kind: u8,
    flags: u16,
    /// The offset of the body.
    body: usize,
    position: Position,
    stored: Timestamp,
    expires: Timestamp,
    lifetime: Lifetime,
    cost: Duration,
}

impl FixedHead {
    fn read(stored: &[u8], context: &ReadContext) -> Result<Self, Unreadable> {
        if !stored.starts_with(&MAGIC) {
            return Err(Unreadable::Foreign);
        }
        let Some((fixed, _)) = stored.split_first_chunk() else {
            return Err(Unreadable::Damaged);
        };
        if crc32fast::hash(&stored[at::VERSION..]).to_be_bytes() != array_at(fixed, at::CHECKSUM) {
            return Err(Unreadable::Damaged);
        }
        let mut read = Self::parse(fixed);
        let known = fixed[at::VERSION] == VERSION
            && (kind::RESPONSE..=kind::VALUE).contains(&read.kind)
            && !read.has(flag::CRITICAL);
        if !known {
            return Err(Unreadable::Unknown);
        }
        if !(at::FIXED_END..=stored.len()).contains(&read.body) {
            return Err(Unreadable::Damaged);
        }
        if KeyHash(array_at(fixed, at::KEY_HASH)) != context.key {
            return Err(Unreadable::Misplaced);
        }
        read.expires = context.expiry(read.stored, read.expires)?;
        read.lifetime = context.capped(read.lifetime);
        Ok(read)
    }

    fn parse(fixed: &[u8; at::FIXED_END]) -> Self {
        let number = |at| u64::from_be_bytes(array_at(fixed, at));
        let flags = u16::from_be_bytes(array_at(fixed, 10));
        let has = |flag| flags & flag != 0;
        let millis = |at| Duration::from_millis(number(at));
        Self {
            kind: fixed[9],
            flags,
            body: usize::try_from(u32::from_be_bytes(array_at(fixed, 12))).unwrap_or(usize::MAX),
            position: Position {
                epoch: number(16),
                n: number(24),
            },
            stored: Timestamp(number(32)),
            expires: Timestamp(number(40)),
            lifetime: Lifetime {
                fresh: millis(48),
                initial_age: millis(56),
                stale_while_revalidate: millis(64),
                stale_if_error: millis(72),
                must_revalidate: has(flag::MUST_REVALIDATE),
                no_cache: has(flag::NO_CACHE),
                heuristic: has(flag::HEURISTIC),
                explicit: has(flag::EXPLICIT),
                shared: has(flag::SHARED),
            },
            cost: Duration::from_micros(number(80)),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// Reads the variable part of the head from front to back.
struct HeadReader<'a> {
    whole: &'a Bytes,
    /// The offset of the body, where the head ends.
    body: usize,
    /// The unread bytes of the head.
    rest: &'a [u8],
}

impl<'a> HeadReader<'a> {
    fn response(&mut self, fixed: &FixedHead) -> Result<StoredResponse, Unreadable> {
        let status = u16::from_be_bytes(self.array()?);
        let part = fixed
            .has(flag::PART)
            .then(|| self.part(fixed))
            .transpose()?;
        let headers = self.fields()?;
        let trailers = fixed.has(flag::TRAILERS).then(|| self.fields());
        Ok(StoredResponse {
            status: StatusCode::from_u16(status).or(Err(Unreadable::Damaged))?,
            headers,
            body: self.whole.slice(fixed.body..),
            trailers: trailers.transpose()?,
            lifetime: fixed.lifetime,
            part,
            cost: fixed.cost,
        })
    }

    fn part(&mut self, fixed: &FixedHead) -> Result<Part, Unreadable> {
        let first = u64::from_be_bytes(self.array()?);
        let complete = fixed
            .has(flag::COMPLETE)
            .then(|| self.array())
            .transpose()?;
        Ok(Part {
            first,
            complete: complete.map(u64::from_be_bytes),
        })
    }

    fn variants(&mut self) -> Result<Variants, Unreadable> {
        let count = self.count(3, max::VARIANTS)?;
        let variants = (0..count).map(|_| {
            let hash = self.text()?;
            let by_language = Some(self.text()?).filter(|hash| !hash.is_empty());
            let fields = self.count(1, max::VARIANT_FIELDS)?;
            let fields = (0..fields).map(|_| self.name().map(Into::into));
            let fields = fields.collect::<Result<_, _>>()?;
            Ok(Variant {
                fields,
                hash,
                by_language,
            })
        });
        let variants: Vec<Variant> = variants.collect::<Result<_, _>>()?;
        let mut variants = Variants::of(variants);
        // Versions without these numbers wrote nothing after the list.
        if !self.rest.is_empty() {
            for listed in &mut variants.0 {
                // As written: it does not fit into more.
                listed.weight = self.length()?.min(u32::MAX as usize);
                listed.used = Timestamp(u64::from_be_bytes(self.array()?));
            }
        }
        Ok(variants)
    }

    fn tags(&mut self) -> Result<Box<[Box<str>]>, Unreadable> {
        match self.count(1, max::TAGS)? {
            0 => Ok(Box::default()),
            count => (0..count).map(|_| self.text()).collect(),
        }
    }

    fn fields(&mut self) -> Result<HeaderMap, Unreadable> {
        let count = self.count(2, max::FIELDS)?;
        // A response gets two more fields when it is sent.
        let mut fields = HeaderMap::try_with_capacity(count + 2).or(Err(Unreadable::Damaged))?;
        for _ in 0..count {
            let name = self.name()?;
            let Ok(value) = HeaderValue::from_maybe_shared(self.bytes()?) else {
                return Err(Unreadable::Damaged);
            };
            let appended = match name {
                FieldName::Known(name) => fields.try_append(name, value),
                FieldName::Other(name) => fields.try_append(name, value),
            };
            appended.or(Err(Unreadable::Damaged))?;
        }
        Ok(fields)
    }

    fn name(&mut self) -> Result<FieldName, Unreadable> {
        let [number] = self.array()?;
        if number == 0 {
            let name = HeaderName::from_bytes(self.slice()?);
            return name.map(FieldName::Other).or(Err(Unreadable::Damaged));
        }
        let name = names::name(number).map(FieldName::Known);
        name.ok_or(Unreadable::Unknown)
    }

    fn text(&mut self) -> Result<Box<str>, Unreadable> {
        let text = str::from_utf8(self.slice()?);
        text.map(Into::into).or(Err(Unreadable::Damaged))
    }

    /// Reads the count of at most `max` items that take at least `size` bytes each.
    fn count(&mut self, size: usize, max: usize) -> Result<usize, Unreadable> {
        let count = self.length()?;
        let fits = count <= max && count <= self.rest.len() / size;
        fits.then_some(count).ok_or(Unreadable::Damaged)
    }

    /// Reads a length and that many bytes, as a slice that keeps the whole alive.
    fn bytes(&mut self) -> Result<Bytes, Unreadable> {
        let length = self.slice()?.len();
        let end = self.body - self.rest.len();
        Ok(self.whole.slice(end - length..end))
    }

    /// Reads a length and that many bytes.
    fn slice(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.length()?;
        let (slice, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Unreadable::Damaged)?;
        self.rest = rest;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    fn length(&mut self) -> Result<usize, Unreadable> {
        match *self.rest {
            // Nearly all lengths take one byte.
            [byte @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_length(),
        }
    }

    fn long_length(&mut self) -> Result<usize, Unreadable> {
        let mut length = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(length).or(Err(Unreadable::Damaged));
            }
        }
        Err(Unreadable::Damaged)
    }
}

/// The name of a header field.
enum FieldName {
    Known(&'static HeaderName),
    Other(HeaderName),
}

impl From<FieldName> for HeaderName {
    fn from(name: FieldName) -> Self {
        match name {
            FieldName::Known(name) => name.clone(),
            FieldName::Other(name) => name,
        }
    }
}

fn array_at<const N: usize>(fixed: &[u8; at::FIXED_END], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&fixed[at..at + N]);
    array
}

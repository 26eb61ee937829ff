//! Encodes an entry.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::{MAGIC, VERSION, at, flag, key_hash::KeyHash, kind, max, names};
use crate::{
    semantics::{
        freshness::Lifetime,
        stored_response::{StoredResponse, Variants},
    },
    store::entry::{Content, Entry},
};

/// Encodes an entry, to be stored under the key with this hash, in one allocation; `None` if no reader
/// would accept it: its head exceeds 4 GiB, or it has too many tags, variants or fields.
pub(crate) fn encode(entry: &Entry, key: KeyHash) -> Option<Vec<u8>> {
    if !is_within_bounds(entry) {
        return None;
    }
    let body = body(&entry.content);
    let mut out = HeadWriter(Vec::with_capacity(size(entry)));
    out.fixed(entry, key);
    out.owner(entry);
    match &entry.content {
        Content::Response(response) => out.response(response),
        Content::Variants(variants) => out.variants(variants),
        Content::Value(_) => {}
    }
    let mut out = out.0;
    let head = u32::try_from(out.len()).ok()?;
    out[12..16].copy_from_slice(&head.to_be_bytes());
    out.extend_from_slice(body);
    let checksum = crc32fast::hash(&out[at::VERSION..]);
    out[at::CHECKSUM..at::VERSION].copy_from_slice(&checksum.to_be_bytes());
    Some(out)
}

fn is_within_bounds(entry: &Entry) -> bool {
    let is_within = match &entry.content {
        Content::Response(response) => {
            let mut fields = [Some(&response.headers), response.trailers.as_ref()]
                .into_iter()
                .flatten();
            fields.all(|fields| fields.len() <= max::FIELDS)
        }
        Content::Variants(Variants(variants)) => {
            let fits = |fields: &[HeaderName]| fields.len() <= max::VARIANT_FIELDS;
            variants.len() <= max::VARIANTS && variants.iter().all(|one| fits(&one.variant.fields))
        }
        Content::Value(_) => true,
    };
    is_within && entry.tags.len() <= max::TAGS
}

fn body(content: &Content) -> &[u8] {
    match content {
        Content::Response(response) => &response.body,
        Content::Variants(_) => &[],
        Content::Value(value) => &value.json,
    }
}

/// An upper bound of the encoded size: counts every length in its longest form.
fn size(entry: &Entry) -> usize {
    let texts = entry.tags.iter().chain(&entry.user).chain([&entry.entity]);
    let texts: usize = texts.map(|text| MAX_LENGTH_SIZE + text.len()).sum();
    let content = match &entry.content {
        Content::Response(response) => {
            let fields = response
                .headers
                .iter()
                .chain(response.trailers.iter().flatten());
            fields
                .map(|(name, value)| 1 + 2 * MAX_LENGTH_SIZE + name.as_str().len() + value.len())
                .sum()
        }
        Content::Variants(variants) => variants
            .iter()
            .map(|variant| {
                let fields = variant
                    .fields
                    .iter()
                    .map(|name| 1 + MAX_LENGTH_SIZE + name.as_str().len());
                let by_language = variant.by_language.as_deref().unwrap_or_default();
                let hashes = variant.hash.len() + by_language.len();
                4 * MAX_LENGTH_SIZE + 8 + hashes + fields.sum::<usize>()
            })
            .sum::<usize>(),
        Content::Value(_) => 0,
    };
    at::FIXED_END + 32 + texts + content + body(&entry.content).len()
}

struct HeadWriter(Vec<u8>);

impl HeadWriter {
    fn fixed(&mut self, entry: &Entry, key: KeyHash) {
        let (kind, flags, lifetime, cost) = summary(entry);
        self.0.extend_from_slice(&MAGIC);
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&[VERSION, kind]);
        self.0.extend_from_slice(&flags.to_be_bytes());
        self.0.extend_from_slice(&[0; 4]);
        for number in [
            entry.position.epoch,
            entry.position.n,
            entry.stored.0,
            entry.expires.0,
            millis(lifetime.fresh),
            millis(lifetime.initial_age),
            millis(lifetime.stale_while_revalidate),
            millis(lifetime.stale_if_error),
            saturate(cost.as_micros()),
        ] {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
        self.0.extend_from_slice(&key.0);
    }

    fn owner(&mut self, entry: &Entry) {
        self.text(&entry.entity);
        if let Some(user) = &entry.user {
            self.text(user);
        }
        self.length(entry.tags.len());
        for tag in &entry.tags {
            self.text(tag);
        }
    }

    fn response(&mut self, response: &StoredResponse) {
        self.0
            .extend_from_slice(&response.status.as_u16().to_be_bytes());
        if let Some(part) = &response.part {
            self.0.extend_from_slice(&part.first.to_be_bytes());
            if let Some(complete) = part.complete {
                self.0.extend_from_slice(&complete.to_be_bytes());
            }
        }
        self.fields(&response.headers);
        if let Some(trailers) = &response.trailers {
            self.fields(trailers);
        }
    }

    fn variants(&mut self, variants: &Variants) {
        self.length(variants.0.len());
        for variant in variants.iter() {
            self.text(&variant.hash);
            self.text(variant.by_language.as_deref().unwrap_or_default());
            self.length(variant.fields.len());
            for name in &variant.fields {
                self.name(name);
            }
        }
        for listed in &variants.0 {
            // A weight that does not fit into a length is far beyond the bound for all variants.
            self.length(listed.weight.min(u32::MAX as usize));
            self.0.extend_from_slice(&listed.used.0.to_be_bytes());
        }
    }

    fn fields(&mut self, fields: &HeaderMap) {
        self.length(fields.len());
        for (name, value) in fields {
            self.name(name);
            self.bytes(value.as_bytes());
        }
    }

    fn name(&mut self, name: &HeaderName) {
        let number = names::number(name);
        self.0.push(number);
        if number == 0 {
            self.text(name.as_str());
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A length beyond 32 bits makes a head beyond 32 bits, which is not stored.
    fn length(&mut self, length: usize) {
        let mut rest = length;
        while rest >= 0x80 {
            self.0.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }
}

fn summary(entry: &Entry) -> (u8, u16, Lifetime, Duration) {
    let user = if entry.user.is_some() { flag::USER } else { 0 };
    match &entry.content {
        Content::Response(response) => {
            let flags = user | terms(&response.lifetime) | parts(response);
            (kind::RESPONSE, flags, response.lifetime, response.cost)
        }
        Content::Variants(_) => (kind::VARIANTS, user, Lifetime::default(), Duration::ZERO),
        Content::Value(value) => {
            let flags = user | terms(&value.lifetime);
            (kind::VALUE, flags, value.lifetime, value.cost)
        }
    }
}

fn terms(lifetime: &Lifetime) -> u16 {
    set(lifetime.must_revalidate, flag::MUST_REVALIDATE)
        | set(lifetime.no_cache, flag::NO_CACHE)
        | set(lifetime.heuristic, flag::HEURISTIC)
        | set(lifetime.explicit, flag::EXPLICIT)
        | set(lifetime.shared, flag::SHARED)
}

fn parts(response: &StoredResponse) -> u16 {
    let complete = response.part.is_some_and(|part| part.complete.is_some());
    set(response.trailers.is_some(), flag::TRAILERS)
        | set(response.part.is_some(), flag::PART)
        | set(complete, flag::COMPLETE)
}

fn set(condition: bool, flag: u16) -> u16 {
    if condition { flag } else { 0 }
}

fn millis(duration: Duration) -> u64 {
    saturate(duration.as_millis())
}

fn saturate(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The size of a length in its longest form.
const MAX_LENGTH_SIZE: usize = 5;

//! The query as part of keys: which parameters distinguish responses, and how they are encoded.
//!
//! Parameters are split at `&` and sorted by decoded name; repeated names keep their order. The
//! encoding keeps every difference except the encoding of unreserved characters, so
//! queries share a key only if they differ in the order of parameters with different names, in
//! parameters that are not part of the key, or in how unreserved characters are escaped. A missing query and an empty one differ, unless only listed
//! parameters are part of the key.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{
    encode::{self, KeyBytes},
    query_name::{is_spelled, name},
};

/// Which parameters distinguish stored responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum QueryFilter {
    /// All.
    #[default]
    All,
    /// Those with these names.
    Only(Box<[Box<str>]>),
    /// All but those with these names; a trailing `*` stands for all names with that prefix.
    Ignore(Box<[Box<str>]>),
    /// None: the whole query is already in the key.
    InKey,
}

impl QueryFilter {
    /// Writes `?` and the parameters that are part of the key, hashed if longer than 64 bytes; nothing
    /// if there are none.
    #[inline]
    pub(crate) fn push(&self, query: Option<&str>, out: &mut KeyBytes) {
        if let Some(query) = query {
            self.push_keyed(query, encode::VALUE_MAX, out);
        }
    }

    /// Writes `?` and a hash of the parameters that are part of the key; nothing if there are none.
    pub(crate) fn push_hashed(&self, query: Option<&str>, out: &mut KeyBytes) {
        if let Some(query) = query {
            self.push_keyed(query, 0, out);
        }
    }

    fn push_keyed(&self, query: &str, max: usize, out: &mut KeyBytes) {
        let before = out.len();
        out.push(b'?');
        if !self.push_sorted(query, out) {
            out.truncate(before);
            return;
        }
        if out.len() - before > max {
            hash_from(before, out);
        }
    }

    /// Writes the parameters that are part of the key; returns false if there are none.
    pub(crate) fn push_sorted(&self, query: &str, out: &mut KeyBytes) -> bool {
        if *self == Self::InKey {
            return false;
        }
        let mut kept: SmallVec<[&str; 16]> = query
            .split('&')
            .filter(|pair| self.keeps_pair(pair))
            .collect();
        if kept.len() > 1 {
            kept.sort_by(|a, b| by_name(a, b));
        }
        push_pairs(kept.iter().copied(), out);
        !kept.is_empty()
    }

    /// A pair with a semicolon is always kept: servers that split at semicolons see parameters in it
    /// that the cache does not.
    fn keeps_pair(&self, pair: &str) -> bool {
        self.keeps(name(pair)) || (pair.contains(';') && !matches!(self, Self::InKey))
    }

    /// Whether a parameter of this name is part of the key.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::InKey => false,
            Self::Only(names) => names.iter().any(|n| is_named(name, n)),
            Self::Ignore(names) => !names.iter().any(|n| match n.strip_suffix('*') {
                Some(start) => begins(name, start),
                None => is_named(name, n),
            }),
        }
    }
}

/// Writes `?` and a hash of the query, unchanged except for the encoding of unreserved characters:
/// without a route, even the order of parameters may matter. Any parameter may be a secret, so none is
/// readable.
pub(crate) fn push_whole(query: Option<&str>, out: &mut KeyBytes) {
    let Some(query) = query else { return };
    let before = out.len();
    out.push(b'?');
    push_pairs(query.split('&'), out);
    hash_from(before, out);
}

/// Replaces what follows the `?` at `start` by `+` and 32 digits of its hash.
fn hash_from(start: usize, out: &mut KeyBytes) {
    let digits = super::hash::long(&out[start + 1..]);
    out.truncate(start + 1);
    out.push(b'+');
    out.extend_from_slice(&digits);
}

/// The value of a parameter; `None` if it is missing, has no value, is repeated, or unreserved
/// characters of its name are escaped: servers interpret the latter two differently.
pub(crate) fn single_value<'a>(query: Option<&'a str>, wanted: &str) -> Option<&'a str> {
    let mut found = query?
        .split('&')
        .filter(|pair| is_named(name(pair), wanted));
    let pair = found.next()?;
    let is_sole = found.next().is_none() && is_spelled(name(pair), wanted);
    let (_, value) = pair.split_once('=')?;
    is_sole.then_some(value)
}

fn push_pairs<'a>(pairs: impl Iterator<Item = &'a str>, out: &mut KeyBytes) {
    for (i, pair) in pairs.enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        let (name, value) = pair.split_at(pair.find('=').unwrap_or(pair.len()));
        encode::push_uri(name, out);
        if let Some(value) = value.strip_prefix('=') {
            out.push(b'=');
            encode::push_uri(value, out);
        }
    }
}

fn by_name(a: &str, b: &str) -> Ordering {
    encode::form_bytes(name(a)).cmp(encode::form_bytes(name(b)))
}

fn is_named(name: &str, wanted: &str) -> bool {
    name == wanted || encode::form_bytes(name).eq(wanted.bytes())
}

fn begins(name: &str, start: &str) -> bool {
    let mut bytes = encode::form_bytes(name);
    start.bytes().all(|byte| bytes.next() == Some(byte))
}

//! Templates with their values: the hot path of keys.

use std::ops::Range;

use serde_json::Value;

use super::template::{Piece, Source, Template};
use crate::key::{
    Inputs,
    encode::{self, KeyBytes, Malformed},
    hash, push_host,
    query::{QueryFilter, single_value},
};

/// Why a request has no key, and therefore neither is answered from the store nor stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The user is part of the key, and nobody is known.
    NoUser,
    /// Another value that is part of the key is missing, or given twice.
    Missing,
    /// A value that is part of the key is not properly percent-encoded.
    Malformed,
}

/// What templates are filled from. It goes by value to what is not inlined: what is pointed at must
/// lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// Where in the path of `inputs`.
    pub(super) params: &'a [Range<usize>],
    pub(super) inputs: Inputs<'a>,
    pub(super) filter: &'a QueryFilter,
    pub(super) answer: Option<&'a Value>,
}

impl<'a> Values<'a> {
    #[inline]
    fn param(self, number: usize) -> Option<&'a str> {
        self.inputs.path.get(self.params.get(number)?.clone())
    }
}

impl Template {
    /// Writes text and values; stops at the first value that is missing.
    #[inline]
    pub(super) fn write(&self, values: &Values<'_>, out: &mut KeyBytes) -> Result<(), Bypass> {
        for piece in &self.pieces {
            piece.write(values, out)?;
        }
        Ok(())
    }

    /// Writes text and values, `*` for those that are missing.
    pub(super) fn write_widened(&self, values: &Values<'_>, out: &mut KeyBytes) {
        for piece in &self.pieces {
            let before = out.len();
            if piece.write(values, out).is_err() {
                out.truncate(before);
                out.push(b'*');
            }
        }
    }
}

impl Piece {
    #[inline(always)]
    fn write(&self, values: &Values<'_>, out: &mut KeyBytes) -> Result<(), Bypass> {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Value {
                source,
                hashed: false,
            } => {
                let start = out.len();
                source.write(values, out)?;
                encode::shorten(out, start, encode::VALUE_MAX);
            }
            Self::Value {
                source,
                hashed: true,
            } => source.write_hash(*values, out)?,
        }
        Ok(())
    }
}

impl Source {
    /// Writes a hash of the encoded value; of a body as it is.
    #[inline(never)]
    fn write_hash(&self, values: Values<'_>, out: &mut KeyBytes) -> Result<(), Bypass> {
        let digits = if *self == Self::Body {
            hash::short(values.inputs.body.ok_or(Bypass::Missing)?)
        } else {
            let mut value = KeyBytes::new();
            self.write(&values, &mut value)?;
            hash::short(&value)
        };
        out.extend_from_slice(&digits);
        Ok(())
    }

    /// Writes the encoded value, however long.
    #[inline(always)]
    fn write(&self, values: &Values<'_>, out: &mut KeyBytes) -> Result<(), Bypass> {
        match self {
            Self::Path { number, catch_all } => {
                let value = values.param(*number).ok_or(Bypass::Missing)?;
                Ok(encode::push_path(value, *catch_all, out)?)
            }
            _ => self.write_rarer(*values, out),
        }
    }

    /// The same of what is not part of the path.
    #[inline(never)]
    fn write_rarer(&self, values: Values<'_>, out: &mut KeyBytes) -> Result<(), Bypass> {
        let inputs = values.inputs;
        match self {
            Self::Query(name) => {
                let value = single_value(inputs.query, name).ok_or(Bypass::Missing)?;
                Ok(encode::push_query(value, out)?)
            }
            Self::Header(name) => push_field(&inputs, name, out),
            Self::Host => inputs
                .host
                .map(|host| push_host(host, out))
                .ok_or(Bypass::Missing),
            Self::User => {
                let user = inputs.user.ok_or(Bypass::NoUser)?;
                encode::push_bytes(user.as_bytes(), out);
                Ok(())
            }
            Self::WholeQuery => {
                let query = inputs.query.ok_or(Bypass::Missing)?;
                values.filter.push_sorted(query, out);
                Ok(())
            }
            // A body is only ever hashed.
            Self::Path { .. } | Self::Body => Err(Bypass::Missing),
            Self::Answer(field) => push_answer(values.answer, field, out),
        }
    }
}

/// All lines of the field, as one list (RFC 9110 section 5.2).
fn push_field(
    inputs: &Inputs<'_>,
    name: &http::HeaderName,
    out: &mut KeyBytes,
) -> Result<(), Bypass> {
    let before = out.len();
    for (i, line) in inputs.headers.get_all(name).iter().enumerate() {
        if i > 0 {
            encode::push_byte(b',', out);
        }
        encode::push_bytes(line.as_bytes(), out);
    }
    if out.len() == before {
        return Err(Bypass::Missing);
    }
    Ok(())
}

/// A top-level field of a JSON answer: text, a number or a truth value.
fn push_answer(answer: Option<&Value>, field: &str, out: &mut KeyBytes) -> Result<(), Bypass> {
    match answer.and_then(|answer| answer.get(field)) {
        Some(Value::String(text)) if !text.is_empty() => {
            encode::push_bytes(text.as_bytes(), out);
            Ok(())
        }
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => {
            encode::push_bytes(scalar.to_string().as_bytes(), out);
            Ok(())
        }
        _ => Err(Bypass::Missing),
    }
}

impl From<Malformed> for Bypass {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

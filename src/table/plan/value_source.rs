//! The values of placeholders.

use std::ops::Range;

use http::HeaderName;
use serde_json::Value;

use crate::key::{
    encode::{self, KeyBytes, Malformed},
    hash,
    host::push_host,
    inputs::KeyInputs,
    query::{QueryFilter, single_value},
};

/// Where a placeholder's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueSource {
    /// A parameter of the path, counted from 0.
    Path {
        number: usize,
        catch_all: bool,
    },
    /// `{query.NAME}`
    Query(Box<str>),
    /// `{header.NAME}`
    Header(HeaderName),
    Host,
    User,
    /// `{#query}`
    WholeQuery,
    /// `{#body}`
    Body,
    /// `{answer.FIELD}`
    Answer(Box<str>),
}

impl ValueSource {
    /// Writes a hash of the encoded value, or the hash of the content.
    #[inline(never)]
    pub(super) fn write_hash(
        &self,
        values: TemplateInputs<'_>,
        out: &mut KeyBytes,
    ) -> Result<(), KeyError> {
        if *self == Self::Body {
            let content = values.inputs.body.ok_or(KeyError::Missing)?;
            out.extend_from_slice(content.digits());
        } else {
            let mut value = KeyBytes::new();
            self.write(&values, &mut value)?;
            out.extend_from_slice(&hash::long(&value));
        }
        Ok(())
    }

    /// Writes the encoded value, without a bound on its length.
    #[inline(always)]
    pub(super) fn write(
        &self,
        values: &TemplateInputs<'_>,
        out: &mut KeyBytes,
    ) -> Result<(), KeyError> {
        match self {
            Self::Path { number, catch_all } => {
                let range = values.params.get(*number).ok_or(KeyError::Missing)?;
                let value = values.inputs.path.get(range.clone());
                let value = value.ok_or(KeyError::Missing)?;
                Ok(encode::push_path(value, *catch_all, out)?)
            }
            _ => self.write_other(*values, out),
        }
    }

    /// Writes a value that is not part of the path.
    #[inline(never)]
    fn write_other(&self, values: TemplateInputs<'_>, out: &mut KeyBytes) -> Result<(), KeyError> {
        let inputs = values.inputs;
        match self {
            Self::Query(name) => {
                let value = single_value(inputs.query, name).ok_or(KeyError::Missing)?;
                Ok(encode::push_query(value, out)?)
            }
            Self::Header(name) => push_field(inputs, name, out),
            Self::Host => inputs
                .host
                .map(|host| push_host(host, out))
                .ok_or(KeyError::Missing),
            Self::User => {
                let user = inputs.user.ok_or(KeyError::NoUser)?;
                encode::push_bytes(user.as_bytes(), out);
                Ok(())
            }
            Self::WholeQuery => {
                let query = inputs.query.ok_or(KeyError::Missing)?;
                values.filter.push_sorted(query, out);
                Ok(())
            }
            // `write` has handled paths, and a body is always hashed.
            Self::Path { .. } | Self::Body => Err(KeyError::Missing),
            Self::Answer(field) => push_answer(values.answer, field, out),
        }
    }
}

/// Why a request has no key. Such a request is not answered with a stored response, and its response
/// is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// The user is part of the key, and unknown.
    NoUser,
    /// Another value that is part of the key is missing or repeated.
    Missing,
    /// A value that is part of the key is not properly percent-encoded.
    Malformed,
    /// A server may read a parameter of the query as one that is part of the key.
    AmbiguousQuery,
}

impl KeyError {
    /// The word for `detail` of `Cache-Status`.
    pub(crate) fn detail(self) -> Option<&'static str> {
        match self {
            Self::AmbiguousQuery => Some("query"),
            Self::NoUser | Self::Missing | Self::Malformed => None,
        }
    }
}

impl From<Malformed> for KeyError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// The values that placeholders refer to. Functions that are not inlined take it by value, so that it
/// can stay in registers.
#[derive(Clone, Copy)]
pub(super) struct TemplateInputs<'a> {
    /// The positions of the path's parameters in `inputs.path`.
    pub(super) params: &'a [Range<usize>],
    pub(super) inputs: &'a KeyInputs<'a>,
    pub(super) filter: &'a QueryFilter,
    pub(super) answer: Option<&'a Value>,
}

/// Writes all lines of a field as one list (RFC 9110 section 5.2).
fn push_field(
    inputs: &KeyInputs<'_>,
    name: &HeaderName,
    out: &mut KeyBytes,
) -> Result<(), KeyError> {
    let before = out.len();
    for (i, line) in inputs.headers.get_all(name).iter().enumerate() {
        if i > 0 {
            encode::push_byte(b',', out);
        }
        encode::push_bytes(line.as_bytes(), out);
    }
    if out.len() == before {
        return Err(KeyError::Missing);
    }
    Ok(())
}

/// Writes a top-level field of a JSON response, for `{answer.FIELD}`: a string, number or boolean.
fn push_answer(answer: Option<&Value>, field: &str, out: &mut KeyBytes) -> Result<(), KeyError> {
    match answer.and_then(|answer| answer.get(field)) {
        Some(Value::String(text)) if !text.is_empty() => encode::push_bytes(text.as_bytes(), out),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => {
            encode::push_bytes(scalar.to_string().as_bytes(), out);
        }
        _ => return Err(KeyError::Missing),
    }
    Ok(())
}

//! Templates of keys, tags and invalidations.

use super::{
    path::PathParam,
    placeholder::{self, TemplatePurpose},
    value_source::{KeyError, TemplateInputs, ValueSource},
};
use crate::key::encode::{self, KeyBytes, is_literal};

/// A parsed template: text and placeholders, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Box<[TemplatePart]>,
}

impl Template {
    pub(crate) fn parse(
        text: &str,
        params: &[PathParam],
        purpose: TemplatePurpose,
    ) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a template is empty; write \"engagement:{id}\"".to_owned());
        }
        if text.len() > MAX_TEMPLATE {
            return Err(format!(
                "a template of {} bytes is longer than {MAX_TEMPLATE}; shorten it",
                text.len()
            ));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, brace) = rest.split_at(at);
            push_text(literal, text, purpose, &mut parts)?;
            let (name, after) = brace
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
                .ok_or_else(|| format!("{text:?} has an unmatched brace; write \"{{name}}\""))?;
            let (source, hashed) = placeholder::parse(name, text, params, purpose)?;
            parts.push(TemplatePart::Value { source, hashed });
            rest = after;
        }
        push_text(rest, text, purpose, &mut parts)?;
        let parts = parts.into();
        Ok(Self { parts })
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &ValueSource> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Value { source, .. } => Some(source),
            TemplatePart::Text(_) => None,
        })
    }

    pub(crate) fn contains(&self, source: &ValueSource) -> bool {
        self.sources().any(|s| s == source)
    }

    /// Whether it contains `{answer.FIELD}`.
    pub(crate) fn needs_answer(&self) -> bool {
        self.sources().any(|s| matches!(s, ValueSource::Answer(_)))
    }

    /// Writes text and values. Fails at the first missing value.
    #[inline]
    pub(super) fn write(
        &self,
        values: &TemplateInputs<'_>,
        out: &mut KeyBytes,
    ) -> Result<(), KeyError> {
        for part in &self.parts {
            part.write(values, out)?;
        }
        Ok(())
    }

    /// The first value that is missing.
    pub(super) fn missing(&self, values: &TemplateInputs<'_>) -> Option<&ValueSource> {
        self.sources()
            .find(|source| source.write(values, &mut KeyBytes::new()).is_err())
    }

    /// Writes text and values for an invalidation, with `*` in place of what only the responses have:
    /// missing fields of the write's response, and the content of the requests that are invalidated.
    /// Fails if the request lacks a value: a client must not be able to widen an invalidation.
    pub(super) fn write_widened(
        &self,
        values: &TemplateInputs<'_>,
        out: &mut KeyBytes,
    ) -> Result<(), KeyError> {
        for part in &self.parts {
            let before = out.len();
            match part.write(values, out) {
                Err(_) if part.may_be_wildcard() => {
                    out.truncate(before);
                    out.push(b'*');
                }
                written => written?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(Box<str>),
    Value {
        source: ValueSource,
        /// Written as `{#name}`, for long or secret values.
        hashed: bool,
    },
}

impl TemplatePart {
    #[inline(always)]
    fn write(&self, values: &TemplateInputs<'_>, out: &mut KeyBytes) -> Result<(), KeyError> {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Value { source, hashed } if *hashed => source.write_hash(*values, out)?,
            Self::Value { source, .. } => {
                let start = out.len();
                source.write(values, out)?;
                encode::shorten(out, start, encode::VALUE_MAX);
            }
        }
        Ok(())
    }

    /// Whether an invalidation covers all values if this one is missing.
    fn may_be_wildcard(&self) -> bool {
        let Self::Value { source, .. } = self else {
            return false;
        };
        matches!(source, ValueSource::Answer(_) | ValueSource::Body)
    }
}

/// The entity of a key's template: its literal segments, joined.
pub(crate) fn entity(template: &str) -> Result<String, String> {
    let segments: Vec<&str> = template.split(':').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(format!(
            "{template:?} has an empty segment; write one `:` between two segments"
        ));
    }
    let has_placeholder = |segment: &&str| segment.contains('{');
    if segments.first().is_none_or(has_placeholder) {
        return Err(format!(
            "{template:?} does not begin with a literal segment; write \"entity:{template}\""
        ));
    }
    if segments.first() == Some(&"url") {
        return Err("keys that begin with `url` are reserved for paths without a route; write another entity".to_owned());
    }
    let literal: Vec<&str> = segments
        .into_iter()
        .filter(|s| !has_placeholder(s))
        .collect();
    Ok(literal.join(":"))
}

fn push_text(
    literal: &str,
    template: &str,
    purpose: TemplatePurpose,
    parts: &mut Vec<TemplatePart>,
) -> Result<(), String> {
    let allowed = |c: char| match purpose {
        TemplatePurpose::Key => u8::try_from(c).is_ok_and(is_literal),
        TemplatePurpose::Tag => c.is_ascii_graphic() && !matches!(c, '*' | ','),
        TemplatePurpose::Invalidates => c == '*' || u8::try_from(c).is_ok_and(is_literal),
    };
    if let Some(c) = literal.chars().find(|&c| !allowed(c)) {
        return Err(format!(
            "{c:?} in {template:?} is reserved; write letters, digits, `-`, `.`, `_` and `:`"
        ));
    }
    if !literal.is_empty() {
        parts.push(TemplatePart::Text(literal.into()));
    }
    Ok(())
}

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 1024;

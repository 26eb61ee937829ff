//! Templates of keys and patterns: `engagement:{id}:tasks`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, LitStr, Result};

use crate::function::Function;

/// A segment of a template; colons separate them.
enum Segment {
    Literal(String),
    /// An argument, and whether it is hashed.
    Value(Box<Expr>, bool),
}

/// The expression of a `Key`.
pub(crate) fn key(template: &LitStr, function: &Function) -> Result<TokenStream> {
    let mut key = TokenStream::new();
    for (index, segment) in parse(template, function, false)?.into_iter().enumerate() {
        key.extend(match segment {
            Segment::Literal(text) if index == 0 => quote!(::tower_keep::Key::new(#text)),
            Segment::Literal(text) => quote!(.sub(#text)),
            Segment::Value(..) if index == 0 => {
                let message = "a key begins with the name of its entity; write `entity:{id}`";
                return Err(Error::new_spanned(template, message));
            }
            Segment::Value(value, false) => quote!(.id(&#value)),
            Segment::Value(value, true) => quote!(.hashed(&#value)),
        });
    }
    Ok(key)
}

/// The expression of an `Invalidation`: of a key, or of a pattern if the template contains a `*`.
pub(crate) fn invalidation(template: &LitStr, function: &Function) -> Result<TokenStream> {
    if !template.value().contains('*') {
        let key = key(template, function)?;
        return Ok(quote!(::tower_keep::keep::Invalidation::key(&#key)));
    }
    let segments = parse(template, function, true)?.into_iter();
    let segments = segments.map(|segment| match segment {
        Segment::Literal(text) => quote!(::tower_keep::keep::attribute_support::literal(#text)),
        Segment::Value(value, hashed) => {
            quote!(::tower_keep::keep::attribute_support::value(&#value, #hashed))
        }
    });
    Ok(quote!(::tower_keep::keep::attribute_support::pattern(&[#(#segments),*])))
}

fn parse(template: &LitStr, function: &Function, wildcards: bool) -> Result<Vec<Segment>> {
    let text = template.value();
    let segments = text.split(':');
    segments
        .map(|segment| parse_segment(segment, template, function, wildcards))
        .collect()
}

fn parse_segment(
    segment: &str,
    template: &LitStr,
    function: &Function,
    wildcards: bool,
) -> Result<Segment> {
    let error = |message: String| Err(Error::new_spanned(template, message));
    let inner = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(name) = inner {
        let plain = name.strip_prefix('#').unwrap_or(name);
        let value = function.argument(plain, template)?;
        return Ok(Segment::Value(Box::new(value), plain.len() < name.len()));
    }
    if segment.contains(['{', '}']) {
        return error(format!(
            "the segment `{segment}` mixes text and an argument; separate them with a colon, as in `engagement:{{id}}`"
        ));
    }
    if segment.is_empty() {
        return error("a segment is empty; write `entity:{id}`".to_owned());
    }
    // Other characters are escaped in keys, but not in patterns.
    let reserved = |c: char| !(c.is_ascii_alphanumeric() || "-._*".contains(c));
    if segment.len() > 64 {
        return error("a segment has more than 64 characters, which a key shortens".to_owned());
    }
    match segment
        .chars()
        .find(|&c| reserved(c) || c == '*' && !wildcards)
    {
        Some(c) => error(format!(
            "{c:?} is not allowed in the text of a key; write letters, digits, `-`, `.` and `_`, and arguments as `{{id}}`"
        )),
        None => Ok(Segment::Literal(segment.to_owned())),
    }
}

//! Keys of paths that no route names, or whose route has no key.

use super::{
    KeyBuf,
    encode::{self, KeyBytes},
    host::push_host,
    inputs::KeyInputs,
    query,
};

/// Writes `url:{host}:{path}[?query][?+/spelling][?+:scheme]` to `out`, which must be empty; the query is a
/// hash of the whole.
pub(crate) fn url_key(inputs: &KeyInputs<'_>, out: &mut KeyBuf) {
    push_url(inputs, out.bytes());
    out.end_base();
    query::push_whole(inputs.query, out.bytes());
    push_spelling(inputs.path, out.bytes());
    push_scheme(inputs.scheme, out.bytes());
}

/// Adds the scheme, if it is known: a server may answer plain HTTP with a redirection to HTTPS, which must
/// not answer a request that has arrived there (RFC 9111 section 2: the target URI is the key). An
/// invalidation of the key covers every scheme.
#[inline]
pub(crate) fn push_scheme(scheme: Option<&str>, out: &mut KeyBytes) {
    if let Some(scheme) = scheme {
        write_scheme(scheme, out);
    }
}

#[cold]
fn write_scheme(scheme: &str, out: &mut KeyBytes) {
    // No other query has a colon at this place.
    out.extend_from_slice(b"?+:");
    let start = out.len();
    for byte in scheme.bytes() {
        encode::push_byte(byte.to_ascii_lowercase(), out);
    }
    encode::shorten(out, start, encode::VALUE_MAX);
}

/// Adds how the reserved characters of a path are spelled, unless all are escaped. Servers may answer
/// the spellings differently; an invalidation of the key covers every spelling.
#[inline]
pub(crate) fn push_spelling(path: &str, out: &mut KeyBytes) {
    if !encode::has_only_escaped(path) {
        write_spelling(path, out);
    }
}

#[cold]
fn write_spelling(path: &str, out: &mut KeyBytes) {
    // No other query has a slash at this place.
    out.extend_from_slice(b"?+/");
    let start = out.len();
    encode::push_spelling(path, out);
    encode::shorten(out, start, encode::VALUE_MAX);
}

/// Writes `url:{host}:{path}`, with the path decoded: the same for every spelling of it.
pub(crate) fn push_url(inputs: &KeyInputs<'_>, out: &mut KeyBytes) {
    out.extend_from_slice(b"url:");
    push_host(inputs.host.unwrap_or_default(), out);
    out.push(b':');
    let start = out.len();
    encode::push_url_path(inputs.path, out);
    encode::shorten(out, start, encode::URL_MAX);
}

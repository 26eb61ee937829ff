//! Keys of paths that no route names, or whose route has no key.

use super::{
    KeyBuf,
    encode::{self, KeyBytes},
    host::push_host,
    inputs::KeyInputs,
    query,
};

/// Writes `url:{host}:{path}` and a hash of the whole query to `out`, which must be empty.
pub(crate) fn url_key(inputs: &KeyInputs<'_>, out: &mut KeyBuf) {
    push_url(inputs, out.bytes());
    out.end_base();
    query::push_whole(inputs.query, out.bytes());
}

/// Writes `url:{host}:{path}`.
pub(crate) fn push_url(inputs: &KeyInputs<'_>, out: &mut KeyBytes) {
    out.extend_from_slice(b"url:");
    push_host(inputs.host.unwrap_or_default(), out);
    out.push(b':');
    let start = out.len();
    encode::push_uri(inputs.path, out);
    encode::shorten(out, start, encode::URL_MAX);
}

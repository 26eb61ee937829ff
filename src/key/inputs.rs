use http::HeaderMap;

use super::{
    KeyBuf,
    encode::{self, KeyBytes},
    query,
};

/// What of a request may decide its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) user: Option<&'a str>,
    pub(crate) body: Option<&'a [u8]>,
}

/// The key of a path that no route names: `url:{host}:{path}`, `@user` if one is given, and the
/// whole query.
pub(crate) fn url_key(inputs: &Inputs<'_>, user: Option<&str>, out: &mut KeyBuf) {
    out.clear();
    push_url(inputs, out.bytes());
    out.end_base();
    if let Some(user) = user {
        out.push_user(user);
    }
    query::push_whole(inputs.query, out.bytes());
}

/// `url:{host}:{path}`
pub(crate) fn push_url(inputs: &Inputs<'_>, out: &mut KeyBytes) {
    out.extend_from_slice(b"url:");
    push_host(inputs.host.unwrap_or_default(), out);
    out.push(b':');
    let start = out.len();
    encode::push_uri(inputs.path, out);
    encode::shorten(out, start, encode::URL_MAX);
}

/// An authority in the form that keys have: lower case, without a default port.
pub(crate) fn push_host(host: &str, out: &mut KeyBytes) {
    let start = out.len();
    for byte in without_default_port(host).bytes() {
        encode::push_byte(byte.to_ascii_lowercase(), out);
    }
    encode::shorten(out, start, encode::VALUE_MAX);
}

/// RFC 9110 section 4.2.3: a default port is the same as none. User information never counts.
pub(crate) fn without_default_port(authority: &str) -> &str {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"))
        .unwrap_or(host)
}

use http::HeaderMap;

use super::content::ContentHash;

/// The parts of a request that may be part of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyInputs<'a> {
    /// The scheme of the target URI, if the request states it.
    pub(crate) scheme: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) user: Option<&'a str>,
    /// The hash of the content, if that is part of the key.
    pub(crate) body: Option<ContentHash>,
}

use http::{HeaderMap, Method};

use super::sharing::Credentials;

/// The parts of a request that the caching rules use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) credentials: Credentials,
    /// Host and port, if known.
    pub(crate) authority: Option<&'a str>,
    /// Path and query as received.
    pub(crate) target: &'a str,
}

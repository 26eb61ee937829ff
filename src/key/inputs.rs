use http::HeaderMap;

/// The parts of a request that may be part of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyInputs<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) user: Option<&'a str>,
    pub(crate) body: Option<&'a [u8]>,
}

//! Keys of stored responses and values.
//!
//! A key consists of segments joined by `:`, as `engagement:42:tasks`. A value that comes from a
//! request or an argument keeps `A-Z a-z 0-9 - . _`; every other byte becomes `%XX`. So no value
//! can contain a segment boundary, a variation or a wildcard.
//!
//! Variations follow: `~version`, `@user`, `?query`, `?+/spelling`, `?+:scheme`, `?+=content`, `#vary`.
//! Hashes have 128 bits, so that nobody finds two values with the same one.

mod application;
pub(crate) mod content;
pub(crate) mod encode;
pub(crate) mod glob;
pub(crate) mod hash;
pub(crate) mod host;
pub(crate) mod inputs;
pub(crate) mod key_buf;
pub(crate) mod path;
mod path_readings;
pub(crate) mod pattern;
pub(crate) mod purge;
pub(crate) mod query;
pub(crate) mod query_name;
pub(crate) mod tracked_name;
pub(crate) mod url;

pub use application::Key;
pub(crate) use content::ContentHash;
pub(crate) use inputs::KeyInputs;
pub(crate) use key_buf::KeyBuf;
pub(crate) use path_readings::PathReadings;
pub(crate) use url::url_key;

#[cfg(test)]
mod tests;

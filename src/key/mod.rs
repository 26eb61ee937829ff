//! Keys: what a stored response or value lies under.
//!
//! A key is its segments joined by `:`, as `engagement:42:tasks`. A value that comes from a request
//! or an argument keeps `A-Z a-z 0-9 - . _`; every other byte becomes `%XX`. It can forge neither a
//! segment, nor a variation, nor a wildcard.

pub(crate) mod encode;
pub(crate) mod glob;
pub(crate) mod hash;
mod inputs;
pub(crate) mod key_builder;
pub(crate) mod pattern;
pub(crate) mod purge;
pub(crate) mod query;

use std::fmt;

use serde::Serialize;

#[allow(unused_imports)]
pub(crate) use inputs::{Inputs, push_host, push_url, url_key, without_default_port};
pub(crate) use key_builder::KeyBuf;

use crate::error::Error;

/// A key, built from its segments or given whole.
///
/// ```
/// use tower_keep::Key;
///
/// let key = Key::new("engagement").id(42).sub("tasks");
/// assert_eq!(key.as_str(), "engagement:42:tasks");
/// assert_eq!(key, Key::raw("engagement:42:tasks")?);
/// # Ok::<(), tower_keep::Error>(())
/// ```
///
/// # Encoding
///
/// [`id`](Self::id) makes of a value exactly what a route's `{id}` makes of the percent-decoded
/// path segment: `Key::new("engagement").id("a b")` is the key of `/engagements/a%20b`. A value
/// whose encoded form is longer than 64 bytes becomes a readable prefix, `+` and 32 hexadecimal
/// digits of its SHA-256; a key longer than 512 bytes is shortened at its end in the same way. A
/// bare `+` never stands in an encoded value, so neither form can be forged.
#[derive(Clone)]
pub struct Key {
    /// As long as the segments make it.
    whole: String,
    /// What is used instead when that is too long.
    short: Option<Box<str>>,
}

impl Key {
    /// A key of `entity`, which may have several segments: `agent`, or `user:profile`.
    ///
    /// The entity is written by the author of the program; values go into [`id`](Self::id).
    #[must_use]
    pub fn new(entity: &str) -> Self {
        let mut segments = entity.split(':');
        let first = Self {
            whole: String::new(),
            short: None,
        }
        .push(segments.next().unwrap_or_default().as_bytes());
        segments.fold(first, |key, segment| key.sub(segment))
    }

    /// A whole key, as another program writes it.
    ///
    /// # Errors
    ///
    /// If it is empty, longer than 512 bytes, or holds anything but visible ASCII, or one of
    /// `* ? [ ] \ { } @ # ~`, which mean something else in keys and patterns.
    pub fn raw(key: &str) -> Result<Self, Error> {
        check_raw(key)?;
        Ok(Self {
            whole: key.to_owned(),
            short: None,
        })
    }

    /// Adds an identifier: any value, encoded.
    #[must_use]
    pub fn id(self, id: impl fmt::Display) -> Self {
        self.segment(id.to_string().as_bytes())
    }

    /// Adds a literal segment, the name of a part: `tasks`, `status`.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // the key's own word: `{entity}:{identifier}:{sub_type}`
    pub fn sub(self, name: &str) -> Self {
        self.segment(name.as_bytes())
    }

    /// Adds 16 hexadecimal digits of the SHA-256 of `args` as JSON with sorted keys.
    ///
    /// Arguments that do not serialise make a key that nothing is ever found under, and an event.
    #[must_use]
    pub fn hash<T: Serialize + ?Sized>(self, args: &T) -> Self {
        let digits = hash::of_arguments(args);
        self.segment(&digits)
    }

    /// Adds 16 hexadecimal digits of the SHA-256 of a long or secret value, as `{#id}` does in a
    /// route's key.
    #[must_use]
    pub fn hashed(self, value: impl fmt::Display) -> Self {
        let mut encoded = encode::KeyBytes::new();
        encode::push_bytes(value.to_string().as_bytes(), &mut encoded);
        self.segment(&hash::short(&encoded))
    }

    /// The key as it is used: without namespace and variations.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.whole)
    }

    fn segment(mut self, value: &[u8]) -> Self {
        self.whole.push(':');
        self.push(value)
    }

    fn push(mut self, value: &[u8]) -> Self {
        let mut encoded = encode::KeyBytes::new();
        encode::push_value(value, &mut encoded);
        self.whole.push_str(encode::text(&encoded));
        if self.whole.len() > encode::KEY_MAX {
            let mut short = encode::KeyBytes::from_slice(self.whole.as_bytes());
            encode::shorten(&mut short, 0, encode::KEY_MAX);
            self.short = Some(encode::text(&short).into());
        }
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.as_str()).finish()
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&Self> for Key {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

/// A whole key, as [`Key::raw`].
impl TryFrom<&str> for Key {
    type Error = Error;

    fn try_from(key: &str) -> Result<Self, Error> {
        Self::raw(key)
    }
}

/// A whole key, as [`Key::raw`].
impl TryFrom<String> for Key {
    type Error = Error;

    fn try_from(key: String) -> Result<Self, Error> {
        Self::raw(&key)
    }
}

#[cfg(test)]
/// A value in the form it has in keys; what `@user` holds and what names a user's responses.
pub(crate) fn encoded(value: &str) -> Box<str> {
    let mut out = encode::KeyBytes::new();
    encode::push_value(value.as_bytes(), &mut out);
    encode::text(&out).into()
}

/// Whether `byte` may stand in a key that the program's author wrote.
pub(crate) fn is_literal(byte: u8) -> bool {
    byte.is_ascii_graphic() && !RESERVED.contains(&byte)
}

fn check_raw(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::config("a key is empty; write `entity:identifier`"));
    }
    if key.len() > encode::KEY_MAX {
        return Err(Error::config(format!(
            "a key of {} bytes is longer than {}; use `Key::new(..).hash(..)`",
            key.len(),
            encode::KEY_MAX
        )));
    }
    match key
        .chars()
        .find(|&c| !u8::try_from(c).is_ok_and(is_literal))
    {
        Some(c) => Err(Error::config(format!(
            "{c:?} in the key {key:?} stands for something else; build it with `Key::new(..).id(..)`, which encodes values"
        ))),
        None => Ok(()),
    }
}

/// What begins a variation, a wildcard, a placeholder or a Cluster hash tag.
const RESERVED: &[u8] = b"*?[]\\{}@#~";

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::{
    encode::{self, is_literal},
    hash,
};
use crate::error::Error;

/// The key of a stored value or response, built from segments or given as a whole.
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
/// [`id`](Self::id) encodes a value exactly as a route's `{id}` encodes the percent-decoded path
/// segment: `Key::new("engagement").id("a b")` is the key of `/engagements/a%20b`. A value whose
/// encoded form is longer than 64 bytes becomes a readable prefix, `+` and 32 hexadecimal digits of
/// its SHA-256; a key longer than 512 bytes is shortened at its end in the same way. Encoded values
/// never contain `+`, so no value can imitate a shortened one.
#[derive(Clone)]
pub struct Key {
    /// All segments, of any length.
    whole: String,
    /// The shortened form, if `whole` is too long.
    short: Option<Box<str>>,
}

impl Key {
    /// Starts a key with its entity, which may have several segments: `agent`, or `user:profile`.
    ///
    /// The entity must not contain values from requests; add those with [`id`](Self::id).
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

    /// Takes a complete key that another program uses too.
    ///
    /// # Errors
    ///
    /// If the key is empty, is longer than 512 bytes, or contains anything but visible ASCII or one of
    /// `* ? [ ] \ { } @ # ~`, which are reserved.
    pub fn raw(key: &str) -> Result<Self, Error> {
        check_raw(key)?;
        Ok(Self {
            whole: key.to_owned(),
            short: None,
        })
    }

    /// Adds an identifier; any value can be one, because it is encoded.
    #[must_use]
    pub fn id(self, id: impl fmt::Display) -> Self {
        self.segment(id.to_string().as_bytes())
    }

    /// Adds the name of a part as a literal segment: `tasks`, `status`.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // keys are `{entity}:{identifier}:{sub_type}`
    pub fn sub(self, name: &str) -> Self {
        self.segment(name.as_bytes())
    }

    /// Adds 32 hexadecimal digits of the SHA-256 of `args` as JSON with sorted keys.
    ///
    /// If the arguments cannot be serialised, the key is random, so that nothing is found under it, and
    /// a warning is logged.
    #[must_use]
    pub fn hash<T: Serialize + ?Sized>(self, args: &T) -> Self {
        let digits = hash::of_arguments(args);
        self.segment(&digits)
    }

    /// Adds 32 hexadecimal digits of the SHA-256 of a long or secret value, as `{#id}` does in a
    /// route's key.
    #[must_use]
    pub fn hashed(self, value: impl fmt::Display) -> Self {
        let mut encoded = encode::KeyBytes::new();
        encode::push_bytes(value.to_string().as_bytes(), &mut encoded);
        self.segment(&hash::long(&encoded))
    }

    /// The text of the key, without namespace and variations.
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

/// Takes a complete key, like [`Key::raw`].
impl TryFrom<&str> for Key {
    type Error = Error;

    fn try_from(key: &str) -> Result<Self, Error> {
        Self::raw(key)
    }
}

/// Takes a complete key, like [`Key::raw`].
impl TryFrom<String> for Key {
    type Error = Error;

    fn try_from(key: String) -> Result<Self, Error> {
        Self::raw(&key)
    }
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
            "{c:?} is not allowed in the key {key:?}; build the key with `Key::new(..).id(..)`, which encodes values"
        ))),
        None => Ok(()),
    }
}

//! Recognises the patterns that processes of this keep have published.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use crate::store::redis::script::sha1_hex;

/// The announcements of patterns. Each is valid once, and only for the message that follows it.
#[derive(Debug)]
pub(super) struct Announcements {
    /// Known to whoever may read the journal.
    secret: String,
    /// The number of the last valid announcement.
    last: u64,
    next: Option<Announcement>,
    /// Whether an announcement was not valid: the secret may have changed.
    has_refused: bool,
}

#[derive(Debug)]
struct Announcement {
    number: u64,
    digest: String,
}

impl Announcements {
    pub(super) fn new(secret: String) -> Self {
        Self {
            secret,
            last: 0,
            next: None,
            has_refused: false,
        }
    }

    /// Notes what was received on the private channel.
    pub(super) fn announce(&mut self, payload: &[u8]) {
        self.next = Announcement::read(payload);
        self.has_refused |= self.next.is_none();
    }

    /// Whether a process of this keep has published this message. `None` if it was announced, but not
    /// by such a process.
    pub(super) fn is_ours(&mut self, message: &[u8]) -> Option<bool> {
        let Some(announced) = self.next.take() else {
            return Some(false);
        };
        if announced.number > self.last && announced.is_of(message, &self.secret) {
            self.last = announced.number;
            return Some(true);
        }
        self.has_refused = true;
        None
    }

    /// Whether the secret should be read again.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
    }

    pub(super) fn set_secret(&mut self, secret: String) {
        if secret != self.secret {
            *self = Self::new(secret);
        }
    }
}

impl Announcement {
    fn read(payload: &[u8]) -> Option<Self> {
        let (number, digest) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            digest: digest.to_owned(),
        })
    }

    fn is_of(&self, message: &[u8], secret: &str) -> bool {
        let Ok(pattern) = std::str::from_utf8(message) else {
            return false;
        };
        let number = self.number;
        self.digest == sha1_hex(&format!("{secret}{number}:{pattern}{secret}"))
    }
}

/// A secret, made of the random keys of the standard library's hash maps.
pub(super) fn random_secret() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

use std::{fmt, str::FromStr};

use crate::error::Error;

/// Identifies an accepted write: 128 bits, in text 32 lowercase hexadecimal digits.
///
/// At least 120 of the bits are random. An id never changes, also when the write is retried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(u128);

impl WriteId {
    /// A new id. Its lowest byte is the partition of the queue that holds the write, so that the id
    /// alone finds it.
    ///
    /// # Errors
    ///
    /// If the operating system has no random numbers.
    pub(crate) fn random(partition: u8) -> Result<Self, Error> {
        // Whoever knows the id of a write without a user may read its status.
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|cause| {
            Error::unavailable("no random numbers for the id of a write").with_shown_cause(cause)
        })?;
        bytes[15] = partition;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    #[cfg(feature = "redis")]
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    #[cfg(feature = "redis")]
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn partition(self) -> u8 {
        let [.., partition] = self.0.to_be_bytes();
        partition
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteId({self})")
    }
}

impl FromStr for WriteId {
    type Err = Error;

    /// Parses the text form.
    ///
    /// # Errors
    ///
    /// If the text is not 32 lowercase hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == 32 && text.bytes().all(is_digit);
        let id = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        id.map(Self)
            .ok_or_else(|| Error::config("the id of a write is 32 lowercase hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for partition in [0, 3, 15] {
            let id = WriteId::random(partition).expect("random numbers");
            assert_eq!(id.partition(), partition);
            assert_eq!(id.to_string().parse::<WriteId>().expect("an id"), id);
        }
        for text in [
            "",
            "0",
            "G",
            &"A".repeat(32),
            &"0".repeat(33),
            &"+".repeat(32),
        ] {
            assert!(text.parse::<WriteId>().is_err(), "{text}");
        }
    }
}

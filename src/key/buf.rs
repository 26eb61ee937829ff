//! Bytes that are written one after another.

use std::{fmt, ops::Deref};

/// What keys are written into; most never leave the stack.
///
/// Up to [`NEAR`] bytes lie in place; more are moved, all of them, to the heap.
#[derive(Clone)]
pub(crate) struct Buf {
    near: [u8; NEAR],
    /// How many lie in place; [`FAR`] if they do not.
    len: usize,
    far: Vec<u8>,
}

const NEAR: usize = 240;
const FAR: usize = NEAR + 1;

impl Buf {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            near: [0; NEAR],
            len: 0,
            far: Vec::new(),
        }
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Self {
        let mut buf = Self::new();
        buf.extend_from_slice(bytes);
        buf
    }

    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        match self.near.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.extend_far(&[byte]),
        }
    }

    #[inline]
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        match self.room(bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.extend_far(bytes),
        }
    }

    /// Adds the bytes if every one of them is such, else nothing.
    #[inline(always)]
    pub(crate) fn extend_if_every(&mut self, bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
        let every = match self.room(bytes.len()) {
            Some(room) => copy_if_every(bytes, room, is),
            None => {
                let every = every(bytes, is);
                if every {
                    self.extend_far(bytes);
                }
                return every;
            }
        };
        if every {
            self.len += bytes.len();
        }
        every
    }

    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        if self.len == FAR {
            self.far.truncate(len);
        } else {
            self.len = self.len.min(len);
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Whether they lie on the heap.
    #[cfg(test)]
    pub(crate) fn spilled(&self) -> bool {
        self.len == FAR
    }

    /// The place of the next `count` bytes, unless they are to lie on the heap.
    #[inline(always)]
    fn room(&mut self, count: usize) -> Option<&mut [u8]> {
        self.near.get_mut(self.len..)?.get_mut(..count)
    }

    #[cold]
    fn extend_far(&mut self, bytes: &[u8]) {
        if self.len != FAR {
            self.far.clear();
            self.far.extend_from_slice(&self.near[..self.len]);
            self.len = FAR;
        }
        self.far.extend_from_slice(bytes);
    }
}

impl Default for Buf {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.near.get(..self.len).unwrap_or(&self.far)
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buf").field(&self.escape_ascii()).finish()
    }
}

/// Whether every byte is such: where most are, to look at many at once is quicker than to stop at
/// the first that is not.
#[inline(always)]
pub(crate) fn every(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let Some(last) = bytes.last_chunk::<16>() else {
        return all(bytes, is);
    };
    for chunk in bytes.as_chunks::<16>().0 {
        if !all(chunk, &is) {
            return false;
        }
    }
    // It overlaps the one before: twice is quicker than byte by byte.
    all(last, is)
}

/// As [`every`], and copies what it looks at into `to`, which is as long; some of it even if not
/// every byte is such.
#[inline(always)]
fn copy_if_every(from: &[u8], to: &mut [u8], is: impl Fn(u8) -> bool) -> bool {
    if from.len() < 16 || to.len() != from.len() {
        let all = all(from, is);
        to.copy_from_slice(from);
        return all;
    }
    for (from, to) in from.as_chunks::<16>().0.iter().zip(to.as_chunks_mut().0) {
        *to = *from;
        if !all(from, &is) {
            return false;
        }
    }
    match (from.last_chunk::<16>(), to.last_chunk_mut()) {
        (Some(from), Some(to)) => {
            *to = *from;
            all(from, is)
        }
        _ => false,
    }
}

#[inline(always)]
fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, &byte| all & is(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Extend(Vec<u8>),
        ExtendIfEvery(Vec<u8>),
        Truncate(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes =
            || prop::collection::vec(prop_oneof![9 => Just(b'a'), 1 => any::<u8>()], 0..120);
        prop_oneof![
            any::<u8>().prop_map(Step::Push),
            bytes().prop_map(Step::Extend),
            bytes().prop_map(Step::ExtendIfEvery),
            prop::collection::vec(Just(b'a'), 0..120).prop_map(Step::ExtendIfEvery),
            (0..400_usize).prop_map(Step::Truncate),
            Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_vector_would(steps in prop::collection::vec(step(), 0..24)) {
            let (mut buf, mut vector) = (Buf::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Push(byte) => {
                        buf.push(byte);
                        vector.push(byte);
                    }
                    Step::Extend(bytes) => {
                        buf.extend_from_slice(&bytes);
                        vector.extend_from_slice(&bytes);
                    }
                    Step::ExtendIfEvery(bytes) => {
                        let all = bytes.iter().all(|byte| *byte == b'a');
                        prop_assert_eq!(buf.extend_if_every(&bytes, |byte| byte == b'a'), all);
                        vector.extend(bytes.iter().filter(|_| all));
                    }
                    Step::Truncate(len) => {
                        buf.truncate(len);
                        vector.truncate(len);
                    }
                    Step::Clear => {
                        buf.clear();
                        vector.clear();
                    }
                }
                prop_assert_eq!(&*buf, &*vector);
                prop_assert_eq!(&*buf.clone(), &*vector);
            }
        }

        #[test]
        fn every_looks_at_every_byte(len in 1..100_usize, at in 0..100_usize) {
            let mut bytes = vec![b'a'; len];
            prop_assert!(every(&bytes, |byte| byte == b'a'));
            bytes[at % len] = b'b';
            prop_assert!(!every(&bytes, |byte| byte == b'a'));
        }
    }
}

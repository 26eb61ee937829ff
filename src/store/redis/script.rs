//! Lua scripts, run by their digest.

use redis::Cmd;

/// A script that Redis keeps by its digest once it has seen it.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    digest: Box<str>,
}

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self {
            source,
            digest: redis::Script::new(source).get_hash().into(),
        }
    }

    /// `EVALSHA`: refused with `NOSCRIPT` by a server that has not seen the script.
    pub(super) fn by_digest(&self, keys: &[&[u8]], arguments: &[Arg<'_>]) -> Cmd {
        let sizes = arguments.iter().map(|argument| match argument {
            Arg::Bytes(bytes) => bytes.len(),
            Arg::Uint(_) | Arg::Int(_) => 20,
        });
        let bytes = keys.iter().map(|key| key.len()).chain(sizes).sum();
        let mut cmd = self.begin(keys.len(), keys.len() + arguments.len(), bytes);
        for key in keys {
            cmd.arg(*key);
        }
        for argument in arguments {
            match argument {
                Arg::Bytes(bytes) => cmd.arg(*bytes),
                Arg::Uint(number) => cmd.arg(*number),
                Arg::Int(number) => cmd.arg(*number),
            };
        }
        cmd
    }

    /// The same before its keys and arguments are there: `words` of them, of `bytes` together.
    pub(super) fn begin(&self, keys: usize, words: usize, bytes: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(3 + words, 16 + self.digest.len() + bytes);
        cmd.arg("EVALSHA").arg(&*self.digest).arg(keys);
        cmd
    }

    /// A call by digest as `EVAL`: runs the script and makes the server keep it.
    pub(super) fn by_source(&self, by_digest: &Cmd) -> Cmd {
        let mut cmd = Cmd::new();
        cmd.arg("EVAL").arg(self.source);
        for argument in by_digest.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = argument {
                cmd.arg(bytes);
            }
        }
        cmd
    }
}

/// An argument of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Bytes(&'a [u8]),
    Uint(u64),
    Int(i64),
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl From<u64> for Arg<'_> {
    fn from(number: u64) -> Self {
        Self::Uint(number)
    }
}

impl From<i64> for Arg<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

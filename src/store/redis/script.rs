//! Lua scripts, which are run by their digest.

use redis::Cmd;

/// A script, which Redis caches by its digest once it has run it.
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

    /// The script's `EVALSHA`, which a server that does not know the script refuses with `NOSCRIPT`.
    pub(super) fn by_digest(&self, keys: &[&[u8]], arguments: &[ScriptArg<'_>]) -> Cmd {
        let sizes = arguments.iter().map(|argument| match argument {
            ScriptArg::Bytes(bytes) => bytes.len(),
            ScriptArg::Uint(_) | ScriptArg::Int(_) => MAX_DIGITS,
        });
        let bytes = keys.iter().map(|key| key.len()).chain(sizes).sum();
        let mut cmd = self.begin(keys.len(), keys.len() + arguments.len(), bytes);
        for key in keys {
            cmd.arg(*key);
        }
        for argument in arguments {
            match argument {
                ScriptArg::Bytes(bytes) => cmd.arg(*bytes),
                ScriptArg::Uint(number) => cmd.arg(*number),
                ScriptArg::Int(number) => cmd.arg(*number),
            };
        }
        cmd
    }

    /// The beginning of an `EVALSHA`, with room for `words` keys and arguments of `bytes` in total.
    pub(super) fn begin(&self, keys: usize, words: usize, bytes: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(3 + words, 16 + self.digest.len() + bytes);
        cmd.arg("EVALSHA").arg(&*self.digest).arg(keys);
        cmd
    }

    /// Turns an `EVALSHA` into an `EVAL`, which makes the server cache the script.
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
pub(crate) enum ScriptArg<'a> {
    Bytes(&'a [u8]),
    Uint(u64),
    Int(i64),
}

impl<'a> From<&'a [u8]> for ScriptArg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for ScriptArg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl From<u64> for ScriptArg<'_> {
    fn from(number: u64) -> Self {
        Self::Uint(number)
    }
}

impl From<i64> for ScriptArg<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// The decimal digits of a 64-bit number, sign included.
const MAX_DIGITS: usize = 20;

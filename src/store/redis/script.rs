//! Lua scripts, run by their digest.

use redis::{Cmd, ToRedisArgs};

/// A script, which Redis caches by its digest once it has run it.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    digest: Box<str>,
}

/// A call of a script: its `EVALSHA`, which a server that does not know the script refuses with
/// `NOSCRIPT`.
pub(crate) struct ScriptCall {
    script: &'static Script,
    pub(super) by_digest: Cmd,
    /// The index of the first key in the command; beyond its end if there is none.
    pub(super) first_key: usize,
}

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self {
            source,
            digest: redis::Script::new(source).get_hash().into(),
        }
    }

    /// A call with these keys, to which the arguments are added; in a Cluster all keys must be in
    /// one slot.
    pub(crate) fn call(
        &'static self,
        keys: impl IntoIterator<IntoIter: ExactSizeIterator<Item: AsRef<[u8]>>>,
    ) -> ScriptCall {
        let keys = keys.into_iter();
        let count = keys.len();
        let mut by_digest = Cmd::with_capacity(8 + 2 * count, 64 + 192 * count);
        by_digest.arg("EVALSHA").arg(&*self.digest).arg(count);
        for key in keys {
            by_digest.arg(key.as_ref());
        }
        ScriptCall {
            script: self,
            by_digest,
            first_key: if count == 0 { usize::MAX } else { 3 },
        }
    }
}

/// The SHA-1 digest that `redis.sha1hex` computes in scripts.
pub(crate) fn sha1_hex(text: &str) -> String {
    redis::Script::new(text).get_hash().to_owned()
}

impl ScriptCall {
    /// Adds an argument, or each item of a list as one.
    pub(crate) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.by_digest.arg(argument);
        self
    }

    /// The same call as an `EVAL`, which makes the server cache the script.
    pub(super) fn by_source(&self) -> Cmd {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(self.script.source);
        for argument in self.by_digest.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = argument {
                cmd.arg(bytes);
            }
        }
        cmd
    }
}

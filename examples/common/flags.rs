use std::{
    fmt::Display,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use super::Failure;

/// The flags on the command line. Each is read once; [`finish`](Self::finish) rejects the rest.
#[derive(Debug)]
pub(crate) struct Flags(pico_args::Arguments);

impl Flags {
    pub(super) fn from_env() -> Self {
        Self(pico_args::Arguments::from_env())
    }

    pub(super) fn wants_help(&mut self) -> bool {
        self.0.contains(["-h", "--help"])
    }

    /// `--listen ADDR`; port 0 picks a free port.
    pub(crate) fn listen(&mut self) -> Result<SocketAddr, Failure> {
        let Some(given) = self.optional::<String>("--listen")? else {
            return Ok(SocketAddr::from(([127, 0, 0, 1], 3000)));
        };
        given
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| {
                Failure::usage(format!(
                    "--listen {given}: not an address with a port, such as 127.0.0.1:3000"
                ))
            })
    }

    /// Whether a flag without a value is present.
    #[allow(dead_code)] // not every example has one
    pub(crate) fn has(&mut self, name: &'static str) -> bool {
        self.0.contains(name)
    }

    /// The value of a flag, if the flag is present.
    pub(crate) fn optional<T>(&mut self, name: &'static str) -> Result<Option<T>, Failure>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.0
            .opt_value_from_str(name)
            .map_err(|error| Failure::usage(format!("{name}: {error}")))
    }

    /// # Errors
    ///
    /// If a flag or an argument is left that was not read.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.0.finish().first() {
            None => Ok(()),
            Some(unknown) => Err(Failure::usage(format!(
                "unknown argument {}",
                unknown.to_string_lossy()
            ))),
        }
    }
}

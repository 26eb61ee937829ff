//! What every example shares: flags, one way to start and to fail, and the signals that stop it.

mod failure;
mod flags;
mod keep;
pub(crate) mod stop;

pub(crate) use failure::Failure;
pub(crate) use flags::Flags;
pub(crate) use stop::{flush, patiently, stop};

use std::{future::Future, io::Write, net::SocketAddr, process::ExitCode};

use tracing_subscriber::EnvFilter;

/// Explains itself when asked to with `--help`, else runs `example` until it stops.
///
/// The exit code is 0 after a clean stop, 2 when a flag or the table is at fault, 1 otherwise.
pub(crate) fn run<F>(help: &str, example: impl FnOnce(Flags) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut flags = Flags::from_env();
    if flags.wants_help() {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let outcome = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(example(flags)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Tells whoever started the example, person or script, that it accepts connections at `address`.
pub(crate) fn announce(address: SocketAddr) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    Ok(stdout.flush()?)
}

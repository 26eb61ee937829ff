//! Code that the examples share: flags, start-up, errors, and graceful shutdown.

mod failure;
mod flags;
mod keep;
pub(crate) mod stop;

pub(crate) use failure::Failure;
pub(crate) use flags::Flags;
pub(crate) use stop::{flush, stop, until_stopped};

use std::{future::Future, io::Write, net::SocketAddr, process::ExitCode};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Prints `help` if `--help` is given, and otherwise runs `example` until it stops.
///
/// The exit code is 0 after a clean stop, 2 for an invalid flag or table, and 1 otherwise.
pub(crate) fn run<F>(help: &str, example: impl FnOnce(Flags) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut flags = Flags::from_env();
    if flags.wants_help() {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    log_to_stderr();

    let outcome = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(example(flags)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Logs to standard error what `RUST_LOG` selects, such as `info` or `tower_keep=debug,warn`; by default warnings.
fn log_to_stderr() {
    let selected = std::env::var("RUST_LOG").ok();
    let filter = selected.and_then(|text| text.parse::<Targets>().ok());
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .with(filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN)))
        .init();
}

/// Prints the address that the example listens on. Tests wait for this line.
pub(crate) fn announce(address: SocketAddr) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    Ok(stdout.flush()?)
}

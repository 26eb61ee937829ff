//! Running examples, and ending them.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running server example, killed on drop.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts an example on a free port and waits until it listens.
    pub(crate) fn start(name: &str, flags: &[&str]) -> Self {
        let (mut child, line) = spawn(name, &["--listen", "127.0.0.1:0"], flags);
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix('\n'));
        let address = address.and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{name} said {line:?} instead of where it listens");
        };
        Self { child, address }
    }

    /// Starts an example that only works in the background, and waits until it does.
    #[cfg(feature = "redis")]
    pub(crate) fn start_worker(name: &str, flags: &[&str]) -> Self {
        let (child, line) = spawn(name, &["--worker"], flags);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let program = Self { child, address };
        assert_eq!(line, "applying writes\n");
        program
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process id"), signal).expect("it runs");
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }

    /// Sends a signal and waits until the program has ended.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts an example, and waits for its first line of output.
fn spawn(name: &str, own_flags: &[&str], flags: &[&str]) -> (Child, String) {
    let mut child = command(name)
        .args(own_flags)
        .args(flags)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output is piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("its output is text");
    (child, line)
}

/// Runs an example to its end.
pub(crate) fn output(name: &str, flags: &[&str]) -> Output {
    command(name)
        .args(flags)
        .output()
        .expect("the example starts")
}

/// Cargo puts examples beside the directory of this test's own executable.
fn command(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has an executable");
    let target = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("it lies in target/PROFILE/deps");
    let example: PathBuf = target.join("examples").join(name);
    assert!(
        example.exists(),
        "{} is missing: cargo build --examples",
        example.display()
    );
    Command::new(example)
}

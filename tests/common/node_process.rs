//! A process that runs one ignored test of this executable, and cannot outlive the test that starts it.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// The prefix of the line by which a node says where it listens.
pub(crate) const LISTENING: &str = "listening on ";

/// The shell reads a pipe from the test. When the pipe closes, however the test ended, it kills the node.
const WATCH: &str = r#""$@" </dev/null & echo "pid $!"; read -r _; kill -9 $! 2>/dev/null; wait"#;

#[derive(Debug)]
pub(crate) struct NodeProcess {
    shell: Child,
    /// Kept open: the test runner in the node prints after a minute that it still runs, and ends if it
    /// cannot.
    _output: BufReader<ChildStdout>,
    pid: Pid,
    pub(crate) address: SocketAddr,
}

impl NodeProcess {
    /// Runs `test` with the environment variable `name` set, and waits until it listens.
    pub(crate) fn start(test: &str, name: &str, settings: &str) -> Self {
        let executable = env::current_exe().expect("a test has an executable");
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(executable)
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(name, settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut output = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let (mut pid, mut address) = (None, None);
        while pid.is_none() || address.is_none() {
            let mut line = String::new();
            let read = output.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "the node ended before it listened");
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("pid ") {
                pid = text.parse().ok().and_then(Pid::from_raw);
            }
            if let Some((_, text)) = line.rsplit_once(LISTENING) {
                address = text.parse().ok();
            }
        }
        Self {
            shell,
            _output: output,
            pid: pid.expect("sh prints the pid"),
            address: address.expect("the node says where it listens"),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have been killed already.
        let _ = kill_process(self.pid, signal);
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Until the shell has been waited for, the pid is still this node's.
        let _ = kill_process(self.pid, Signal::KILL);
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

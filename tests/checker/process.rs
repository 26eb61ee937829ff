//! A node as a process that cannot outlive the test, and its unfinished writes.

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};

use super::node::{LISTENING, SETTINGS};

/// The shell reads a pipe from the test. When the pipe closes, however the test ended, it kills the node.
const WATCH: &str = r#""$@" </dev/null & echo "pid $!"; read -r _; kill -9 $! 2>/dev/null; wait"#;

/// This test executable, run as a node.
#[derive(Debug)]
pub(super) struct Process {
    shell: Child,
    /// Kept open: the test runner in the node prints after a minute that it still runs, and ends if it
    /// cannot.
    _output: BufReader<ChildStdout>,
    pid: Pid,
    pub(super) address: SocketAddr,
    /// Its number among all nodes that were ever started.
    pub(super) id: usize,
    unfinished: Mutex<Unfinished>,
}

#[derive(Debug, Default)]
struct Unfinished {
    tokens: HashSet<u64>,
    closed: bool,
}

impl Process {
    /// `store` has the lines of `[store]` in its table.
    pub(super) fn start(id: usize, redis: &str, database: SocketAddr, store: &str) -> Self {
        let executable = env::current_exe().expect("a test has an executable");
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(executable)
            .args([
                "checker::node::process",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(SETTINGS, format!("{redis} {database}\n{store}"))
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
            id,
            unfinished: Mutex::default(),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It may have been killed already.
        let _ = kill_process(self.pid, signal);
    }

    /// Registers a write that will be sent to this node; false if no more may be.
    pub(super) fn begin(&self, token: u64) -> bool {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        !unfinished.closed && unfinished.tokens.insert(token)
    }

    /// Marks the write's invalidation as being in the journal.
    pub(super) fn end(&self, token: u64) {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unfinished.tokens.remove(&token);
    }

    /// Stops or resumes new writes at this node.
    pub(super) fn close(&self, yes: bool) {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = yes;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tokens
            .is_empty()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Until the shell has been waited for, the pid is still this node's.
        let _ = kill_process(self.pid, Signal::KILL);
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

//! One `redis-server` process that cannot outlive the test.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// The shell holds a pipe from the test: when that closes, however the test ended, it kills the server.
const WATCH: &str = r#"redis-server "$@" >redis.log 2>&1 </dev/null & echo $!; read -r _; kill -9 $! 2>/dev/null; wait"#;

#[derive(Debug)]
pub(super) struct Process {
    watch: Child,
    pid: Pid,
}

impl Process {
    pub(super) fn spawn(dir: &Path, arguments: &[String]) -> Self {
        // The log of an earlier process must not be taken for this one's.
        let _ = std::fs::remove_file(dir.join("redis.log"));
        let mut watch = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = watch.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("sh prints the pid");
        let pid = line.trim().parse().expect("a pid");
        Self {
            watch,
            pid: Pid::from_raw(pid).expect("a pid is not 0"),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the server runs");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Until the shell has been waited for, the pid is still this server's.
        let _ = kill_process(self.pid, Signal::KILL);
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

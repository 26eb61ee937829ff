//! A single `redis-server`.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{certificates, process::Process, resp, resp::Reply, wait::wait_for};

/// A `redis-server` of the test's own on `127.0.0.1`, without persistence, killed when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    process: Option<Process>,
    dir: TempDir,
    port: u16,
    tls_port: Option<u16>,
    authority: Option<String>,
    arguments: Vec<String>,
    sentinel: bool,
}

/// Options of a [`RedisServer`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Builder {
    settings: Vec<(String, String)>,
    users: Vec<String>,
    tls: bool,
    cluster: bool,
    sentinel_of: Option<u16>,
}

impl Builder {
    /// A line of `redis.conf`.
    pub(crate) fn config(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// A line of the ACL file, such as `user app on >secret ~* &* +@all -get`.
    pub(crate) fn user(mut self, rule: &str) -> Self {
        self.users.push(rule.into());
        self
    }

    /// TLS on a port of its own; [`RedisServer::url`] becomes `rediss://`.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A replica of `primary`; [`RedisServer::start`] does not wait until it has synchronised.
    pub(crate) fn replica_of(self, primary: &RedisServer) -> Self {
        self.config("replicaof", &format!("127.0.0.1 {}", primary.port()))
            .config("repl-diskless-sync-delay", "0")
    }

    /// A Sentinel instead of a server: it decides alone that `primary`, which it calls `main`, has
    /// failed, after half a second.
    pub(crate) fn sentinel_of(mut self, primary: &RedisServer) -> Self {
        self.sentinel_of = Some(primary.port());
        self
    }

    pub(super) fn cluster_node(mut self) -> Self {
        self.cluster = true;
        self
    }

    pub(crate) fn start(self) -> RedisServer {
        for _ in 0..10 {
            if let Some(server) = self.try_start() {
                return server;
            }
        }
        panic!("redis-server did not start");
    }

    /// `None` if another process took a port between its choice and its use.
    fn try_start(&self) -> Option<RedisServer> {
        let dir = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let tls_port = self.tls.then(free_port);
        let authority = self.tls.then(|| certificates::write(dir.path()));
        let arguments = match self.sentinel_of {
            Some(primary) => sentinel(dir.path(), port, primary),
            None => self.arguments(dir.path(), port, tls_port),
        };
        let mut server = RedisServer {
            process: None,
            dir,
            port,
            tls_port,
            authority,
            arguments,
            sentinel: self.sentinel_of.is_some(),
        };
        server.spawn().then_some(server)
    }

    fn arguments(&self, dir: &Path, port: u16, tls_port: Option<u16>) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut set = |name: &str, value: &str| {
            arguments.push(format!("--{name}"));
            arguments.extend(value.split(' ').map(str::to_owned));
        };
        set("port", &port.to_string());
        set("bind", "127.0.0.1");
        set("appendonly", "no");
        set("unixsocket", "redis.sock");
        set("enable-debug-command", "local");
        if !self.settings.iter().any(|(name, _)| name == "save") {
            arguments.extend(["--save".into(), String::new()]);
        }
        let mut set = |name: &str, value: &str| {
            arguments.push(format!("--{name}"));
            arguments.extend(value.split(' ').map(str::to_owned));
        };
        if let Some(port) = tls_port {
            set("tls-port", &port.to_string());
            set("tls-cert-file", "server.pem");
            set("tls-key-file", "server.key");
            set("tls-ca-cert-file", "ca.pem");
            set("tls-auth-clients", "no");
        }
        if self.cluster {
            set("cluster-enabled", "yes");
            set("cluster-port", &free_port().to_string());
            set("cluster-node-timeout", "1500");
        }
        if !self.users.is_empty() {
            std::fs::write(dir.join("users.acl"), self.users.join("\n") + "\n")
                .expect("the directory is ours");
            set("aclfile", "users.acl");
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        arguments
    }
}

impl RedisServer {
    /// # Panics
    ///
    /// When `redis-server` (7.0 or later) is not installed.
    pub(crate) fn start() -> Self {
        Builder::default().start()
    }

    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`, or `rediss://` with TLS.
    pub(crate) fn url(&self) -> String {
        match self.tls_port {
            Some(port) => format!("rediss://127.0.0.1:{port}"),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// The working directory, which would contain the dump.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        self.url().replace("//", &format!("//{user}:{password}@"))
    }

    pub(crate) fn unix_url(&self) -> String {
        format!("unix://{}", self.dir.path().join("redis.sock").display())
    }

    /// The certificate authority of a server with TLS, as PEM.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_deref().expect("started with tls()")
    }

    /// Sends one command, as the default user.
    ///
    /// # Panics
    ///
    /// When there is no reply within ten seconds; an error reply is a [`Reply::Error`].
    pub(crate) fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Reply {
        resp::command(self.port, arguments).expect("the server answers")
    }

    /// How often the server has run `name` (lower case), scripts included.
    pub(crate) fn calls(&self, name: &str) -> u64 {
        let head = format!("cmdstat_{name}:calls=");
        let stats = self.command(&["INFO", "commandstats"]).text();
        stats
            .lines()
            .find_map(|line| line.strip_prefix(&head)?.split(',').next()?.parse().ok())
            .unwrap_or(0)
    }

    /// Stops the process with SIGSTOP: connections stay open without replies.
    pub(crate) fn stop_signal(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a stopped process.
    pub(crate) fn continue_signal(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the process; connections are closed and all data is lost.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts an empty server on the same port.
    pub(crate) fn restart(&mut self) {
        self.process = None;
        assert!(self.spawn(), "port {} was taken", self.port);
    }

    fn signal(&self, signal: Signal) {
        self.process
            .as_ref()
            .expect("the server was not killed")
            .signal(signal);
    }

    fn spawn(&mut self) -> bool {
        self.process = Some(Process::spawn(self.dir.path(), &self.arguments));
        let (mut up, log) = (false, self.dir.path().join("redis.log"));
        wait_for("redis-server", || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            if log.contains("Failed listening") || log.contains("Address already in use") {
                return true;
            }
            assert!(!log.contains("FATAL CONFIG"), "{log}");
            assert!(!log.contains("not found"), "{log}");
            let ready = self.sentinel || log.contains("eady to accept connections");
            up = ready && resp::command(self.port, &["PING"]).is_ok();
            up
        });
        up
    }
}

/// A Sentinel writes what it learns into its configuration.
fn sentinel(dir: &Path, port: u16, primary: u16) -> Vec<String> {
    let lines = [
        format!("port {port}"),
        "bind 127.0.0.1".into(),
        format!("sentinel monitor main 127.0.0.1 {primary} 1"),
        "sentinel down-after-milliseconds main 500".into(),
        "sentinel failover-timeout main 1000".into(),
    ];
    std::fs::write(dir.join("sentinel.conf"), lines.join("\n") + "\n")
        .expect("the directory is ours");
    vec!["sentinel.conf".into(), "--sentinel".into()]
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

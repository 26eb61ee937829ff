//! Checks the entries that Redis stores, by `MONITOR`: no entry is replaced by one of an earlier
//! position.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, ErrorKind, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{JoinHandle, sleep, spawn},
    time::Duration,
};

use crate::common::clock;

/// Follows `MONITOR` of one Redis at a time. Commands before it is connected, or while the connection
/// is lost, are unknown and ignored.
pub(super) struct Monitor {
    state: Arc<MonitorState>,
    thread: JoinHandle<MonitorReport>,
}

struct MonitorState {
    port: AtomicU16,
    ended: AtomicBool,
}

/// The commands seen by `MONITOR`.
#[derive(Debug, Default)]
pub(super) struct MonitorReport {
    pub(super) stores: u64,
    /// The histories of entries that were replaced by earlier ones.
    pub(super) broken: Vec<String>,
    began: u64,
    /// By key, since its last removal.
    held: HashMap<Vec<u8>, Stored>,
}

#[derive(Clone, Debug)]
struct Stored {
    epoch: u64,
    n: u64,
    body: Vec<u8>,
    at: u64,
}

impl Monitor {
    pub(super) fn start(port: u16) -> Self {
        let state = Arc::new(MonitorState {
            port: AtomicU16::new(port),
            ended: AtomicBool::new(false),
        });
        let thread = spawn({
            let state = Arc::clone(&state);
            move || state.listen()
        });
        Self { state, thread }
    }

    pub(super) fn lead_to(&self, port: u16) {
        self.state.port.store(port, Ordering::SeqCst);
    }

    pub(super) fn end(self) -> MonitorReport {
        self.state.ended.store(true, Ordering::SeqCst);
        self.thread.join().expect("it listens to the end")
    }
}

impl MonitorState {
    fn listen(&self) -> MonitorReport {
        let mut report = MonitorReport {
            began: clock::now(),
            ..MonitorReport::default()
        };
        while !self.ended.load(Ordering::SeqCst) {
            report.held.clear();
            if self.follow(&mut report).is_err() {
                sleep(PAUSE);
            }
        }
        report
    }

    fn follow(&self, report: &mut MonitorReport) -> io::Result<()> {
        let port = self.port.load(Ordering::SeqCst);
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PAUSE))?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while !self.ended.load(Ordering::SeqCst) && self.port.load(Ordering::SeqCst) == port {
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    report.parse_line(&line);
                    line.clear();
                }
                // Redis may be stopped; the part of the line that has arrived is kept.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl MonitorReport {
    /// Parses one line: a time, a client, and its command, each argument in quotes.
    fn parse_line(&mut self, line: &[u8]) {
        let Some(start) = line.windows(3).position(|part| part == b"] \"") else {
            return;
        };
        let done = &line[start + 2..];
        let is = |command: &[u8]| done.starts_with(command);
        if is(b"\"SET\" ") {
            if let [_, key, value, ..] = &*arguments(done) {
                self.set(key, value);
            }
        } else if is(b"\"UNLINK\" ") || is(b"\"DEL\" ") {
            for key in &arguments(done)[1..] {
                self.held.remove(key);
            }
        } else if is(b"\"FLUSH") || is(b"\"flush") {
            self.held.clear();
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        let Some(new) = Stored::of(value) else {
            self.held.remove(key);
            return;
        };
        self.stores += 1;
        if let Some(before) = self.held.get(key)
            && before.epoch == new.epoch
            && before.n > new.n
        {
            let history = [before, &new]
                .map(|stored| stored.describe(key, self.began))
                .join("\n");
            self.broken.push(format!(
                "broken: an entry in Redis was replaced by one of an earlier position\n{history}"
            ));
        }
        self.held.insert(key.into(), new);
    }
}

impl Stored {
    /// The layout of an entry, as in `store::wire`.
    fn of(value: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            value
                .get(at..at + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        let body = value.get(12..16)?.try_into().ok().map(u32::from_be_bytes)?;
        Some(Self {
            epoch: word(16)?,
            n: word(24)?,
            body: value.get(usize::try_from(body).ok()?..)?.into(),
            at: clock::now(),
        })
        .filter(|_| value.starts_with(b"\xf5TKE"))
    }

    fn describe(&self, key: &[u8], began: u64) -> String {
        format!(
            "  {:.6} SET {} at {}-{}: {:?}",
            self.at.saturating_sub(began) as f64 / 1e9,
            String::from_utf8_lossy(key),
            self.epoch,
            self.n,
            String::from_utf8_lossy(&self.body)
        )
    }
}

/// Unquotes arguments as Redis quotes them.
fn arguments(mut line: &[u8]) -> Vec<Vec<u8>> {
    let mut arguments = Vec::new();
    while let Some(start) = line.iter().position(|byte| *byte == b'"') {
        let (argument, rest) = unquoted(&line[start + 1..]);
        arguments.push(argument);
        line = rest;
    }
    arguments
}

/// The text up to the closing quote, and the rest.
fn unquoted(mut line: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut argument = Vec::new();
    loop {
        let (byte, rest) = match line {
            [] => return (argument, line),
            [b'"', rest @ ..] => return (argument, rest),
            [b'\\', b'x', high, low, rest @ ..] => (hex(*high) << 4 | hex(*low), rest),
            [b'\\', escaped, rest @ ..] => (unescaped(*escaped), rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        argument.push(byte);
        line = rest;
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
        .unwrap_or(0)
}

const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// The `MONITOR` line of a store at this position of epoch 7.
    fn set(n: u8, body: &str) -> String {
        let zeros = |count| "\\x00".repeat(count);
        format!(
            "+1.5 [0 lua] \"SET\" \"a\\\"key\" \"\\xf5TKE{}\\x00\\x00\\x00 {}\\a{}\\x{n:02x}{body}\" \"PX\" \"9\"\r\n",
            zeros(8),
            zeros(7),
            zeros(7),
        )
    }

    fn violations(lines: &[&str]) -> Vec<String> {
        let mut report = MonitorReport::default();
        lines
            .iter()
            .for_each(|line| report.parse_line(line.as_bytes()));
        report.broken
    }

    #[test]
    fn detects_an_earlier_position_stored_over_a_later_one() {
        let (earlier, later) = (set(5, "old"), set(6, "new"));
        assert!(violations(&[&earlier, &later, &later]).is_empty());
        let found = violations(&[&later, &earlier]);
        assert!(
            found[0].contains("SET a\"key at 7-6: \"new\"\n"),
            "{found:?}"
        );
        assert!(found[0].contains("at 7-5: \"old\""), "{found:?}");
    }

    #[test]
    fn a_removal_in_between_makes_an_earlier_position_valid() {
        let removed = "+1.6 [0 127.0.0.1:6] \"UNLINK\" \"other\" \"a\\\"key\"\r\n";
        assert!(violations(&[&set(6, ""), removed, &set(5, "")]).is_empty());
        let other = "+1.6 [0 127.0.0.1:6] \"UNLINK\" \"other\"\r\n";
        assert_eq!(violations(&[&set(6, ""), other, &set(5, "")]).len(), 1);
    }
}

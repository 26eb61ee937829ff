//! A second process that receives messages and reports when each arrived.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, streams::StreamReadReply};
use tokio::runtime::Builder;

use super::kit::{MESSAGES_PER_ROUND, keep, now};

/// The environment variable that makes this program a receiver: source, URL and round.
const SETTINGS: &str = "KEEP_BENCH_RECEIVER";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// `XREAD BLOCK` on a stream.
    Stream,
    /// [`Keep::invalidations`](tower_keep::Keep::invalidations).
    Keep,
}

/// The receiving process. It ends with the round, and is killed on drop.
pub(crate) struct Receiver {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Receiver {
    /// Starts the process, and returns when it is listening.
    pub(crate) fn start(source: Source, url: &str, round: usize) -> Self {
        let executable = env::current_exe().expect("a benchmark has an executable");
        let mut process = Command::new(executable)
            .env(SETTINGS, format!("{source:?} {url} {round}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("its output is text");
        assert_eq!(line, "listening\n");
        Self { process, output }
    }

    /// The latency of each message. `sent` holds the times at which they were sent.
    pub(crate) fn latencies(mut self, sent: &[u64]) -> Vec<u64> {
        let lines = (&mut self.output).lines().map(Result::unwrap_or_default);
        let received = lines.map(|line| {
            let (number, at) = line.split_once(' ').expect("a number and a time");
            let (number, at): (usize, u64) =
                (number.parse().expect("one"), at.parse().expect("one"));
            at - sent[number]
        });
        let latencies: Vec<u64> = received.collect();
        assert_eq!(latencies.len(), MESSAGES_PER_ROUND);
        latencies
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// If this process was started as a receiver, runs it and returns true.
pub(crate) fn run_if_receiver() -> bool {
    let Ok(settings) = env::var(SETTINGS) else {
        return false;
    };
    let mut settings = settings.split(' ');
    let (source, url, round) = (settings.next(), settings.next(), settings.next());
    let (url, round) = (url.expect("a URL"), round.expect("a round"));
    let round = round.parse().expect("a number");
    let runtime = Builder::new_current_thread().enable_all().build();
    let received = runtime.expect("a runtime").block_on(async {
        match source {
            Some("Stream") => receive_stream(url, round).await,
            _ => receive_invalidations(url, round).await,
        }
    });
    // Printing during the round would delay the messages after it.
    let mut lines = String::new();
    for (number, at) in received {
        lines += &format!("{number} {at}\n");
    }
    let written = std::io::stdout().write_all(lines.as_bytes());
    written.is_ok()
}

pub(crate) fn stream_name(round: usize) -> String {
    format!("bench:{round}")
}

async fn receive_stream(url: &str, round: usize) -> Vec<(usize, u64)> {
    let mut reader = connect(url).await;
    let (mut received, mut last) = (Vec::new(), "0".to_owned());
    println!("listening");
    while received.len() < MESSAGES_PER_ROUND {
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK").arg(0);
        read.arg("STREAMS").arg(stream_name(round)).arg(&last);
        let reply: StreamReadReply = read
            .query_async(&mut reader)
            .await
            .expect("the server runs");
        let at = now();
        for record in reply.keys.iter().flat_map(|stream| &stream.ids) {
            received.push((record.get("n").expect("the field n"), at));
            last.clone_from(&record.id);
        }
    }
    received
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let client = Client::open(url).expect("a Redis URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await;
    connection.expect("the server runs")
}

async fn receive_invalidations(url: &str, round: usize) -> Vec<(usize, u64)> {
    let keep = keep(url).await;
    let mut invalidations = keep.invalidations();
    let mut received = Vec::new();
    println!("listening");
    while received.len() < MESSAGES_PER_ROUND {
        let invalidation = invalidations.next().await.expect("the keep exists");
        let number = invalidation.as_tag().and_then(|tag| {
            let (of, number) = tag.split_once(':')?;
            (of == round.to_string()).then(|| number.parse().ok())?
        });
        received.extend(number.map(|number| (number, now())));
    }
    received
}

//! A process of its own that hears of what another one does, and says when.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, streams::StreamReadReply};
use tokio::runtime::Builder;

use super::{
    kit::keep,
    propagation::{ROUND, now},
};

/// What to listen to, in the environment of the process that is to listen.
const SETTINGS: &str = "KEEP_BENCH_RECEIVER";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Stream,
    Keep,
}

/// Ends with the round, or with whoever started it.
pub(crate) struct Receiver {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Receiver {
    /// Answers when it listens.
    pub(crate) fn start(kind: Kind, url: &str, round: usize) -> Self {
        let executable = env::current_exe().expect("a benchmark has an executable");
        let mut process = Command::new(executable)
            .env(SETTINGS, format!("{kind:?} {url} {round}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("its output is text");
        assert_eq!(line, "listening\n");
        Self { process, output }
    }

    /// How long each took that was sent at these times, in their order.
    pub(crate) fn latencies(mut self, sent: &[u64]) -> Vec<u64> {
        let lines = (&mut self.output).lines().map(Result::unwrap_or_default);
        let heard = lines.map(|line| {
            let (number, at) = line.split_once(' ').expect("a number and a time");
            let (number, at): (usize, u64) =
                (number.parse().expect("one"), at.parse().expect("one"));
            at - sent[number]
        });
        let latencies: Vec<u64> = heard.collect();
        assert_eq!(latencies.len(), ROUND);
        latencies
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether this process was started to listen; then it has.
pub(crate) fn listened() -> bool {
    let Ok(settings) = env::var(SETTINGS) else {
        return false;
    };
    let mut settings = settings.split(' ');
    let (kind, url, round) = (settings.next(), settings.next(), settings.next());
    let (url, round) = (url.expect("a URL"), round.expect("a round"));
    let round = round.parse().expect("a number");
    let runtime = Builder::new_current_thread().enable_all().build();
    let heard = runtime.expect("a runtime").block_on(async {
        match kind {
            Some("Stream") => of_stream(url, round).await,
            _ => of_keep(url, round).await,
        }
    });
    // Only now: what is printed meanwhile would be heard late.
    let mut lines = String::new();
    for (number, at) in heard {
        lines += &format!("{number} {at}\n");
    }
    let written = std::io::stdout().write_all(lines.as_bytes());
    written.is_ok()
}

pub(crate) fn stream(round: usize) -> String {
    format!("bench:{round}")
}

async fn of_stream(url: &str, round: usize) -> Vec<(usize, u64)> {
    let mut reader = connect(url).await;
    let (mut heard, mut last) = (Vec::new(), "0".to_owned());
    println!("listening");
    while heard.len() < ROUND {
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK").arg(0);
        read.arg("STREAMS").arg(stream(round)).arg(&last);
        let reply: StreamReadReply = read
            .query_async(&mut reader)
            .await
            .expect("the server runs");
        let at = now();
        for record in reply.keys.iter().flat_map(|stream| &stream.ids) {
            heard.push((record.get("n").expect("as it was written"), at));
            last.clone_from(&record.id);
        }
    }
    heard
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let client = Client::open(url).expect("a Redis URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await;
    connection.expect("the server runs")
}

async fn of_keep(url: &str, round: usize) -> Vec<(usize, u64)> {
    let keep = keep(url).await;
    let mut applied = keep.invalidations();
    let mut heard = Vec::new();
    println!("listening");
    while heard.len() < ROUND {
        let invalidation = applied.next().await.expect("the keep is there");
        let number = invalidation.as_tag().and_then(|tag| {
            let (of, number) = tag.split_once(':')?;
            (of == round.to_string()).then(|| number.parse().ok())?
        });
        heard.extend(number.map(|number| (number, now())));
    }
    heard
}

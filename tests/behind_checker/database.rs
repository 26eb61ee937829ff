//! The slow system that the writes are for, in the process of the test. It records every call.
//!
//! Its protocol is lines over TCP, one request per connection: `R KEY` returns the tokens of a key,
//! `A KEY TOKEN SEQ ATTEMPT NODE ID` applies a write and returns a status.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::load::KEYS;
use crate::common::clock;

/// One call of a worker.
#[derive(Clone, Debug)]
pub(super) struct ServiceCall {
    pub(super) key: usize,
    pub(super) token: String,
    pub(super) seq: u64,
    pub(super) attempt: u32,
    pub(super) node: usize,
    pub(super) id: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) committed: Option<u64>,
}

#[derive(Default)]
struct State {
    rows: [Vec<String>; KEYS],
    calls: Vec<ServiceCall>,
    is_gentle: bool,
}

pub(super) struct Database {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Database {
    pub(super) async fn start(seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let mut random = Rng::with_seed(seed);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle(stream, Arc::clone(&shared), random.fork()));
            }
        });
        Ok(Self {
            address,
            state,
            task,
        })
    }

    pub(super) fn calls(&self) -> Vec<ServiceCall> {
        lock(&self.state).calls.clone()
    }

    /// From now on no call fails by itself.
    pub(super) fn set_gentle(&self) {
        lock(&self.state).is_gentle = true;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(stream: TcpStream, state: Arc<Mutex<State>>, random: Rng) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let reply = match *words {
        ["R", key] => lock(&state).rows[number(key) % KEYS].join(" "),
        ["A", key, token, seq, attempt, node, id] => {
            let call = ServiceCall {
                key: number(key) % KEYS,
                token: token.into(),
                seq: seq.parse().unwrap_or(0),
                attempt: attempt.parse().unwrap_or(0),
                node: number(node),
                id: id.into(),
                start: clock::now(),
                end: u64::MAX,
                committed: None,
            };
            apply(&mut stream, &state, random, call).await.to_string()
        }
        _ => String::new(),
    };
    stream.write_all(format!("{reply}\n").as_bytes()).await
}

/// Applies a write, and says how that went: quickly, slowly, or with an error before or after the
/// commit.
async fn apply(
    stream: &mut BufReader<TcpStream>,
    state: &Mutex<State>,
    mut random: Rng,
    call: ServiceCall,
) -> u16 {
    let key = call.key;
    let is_refused = call.token.ends_with('x');
    let (at, is_gentle) = {
        let mut state = lock(state);
        state.calls.push(call);
        (state.calls.len() - 1, state.is_gentle)
    };
    let mood = if is_gentle { 99 } else { random.u32(..100) };
    let before = match mood {
        0 => 6_000,    // longer than the longest call
        1..4 => 2_500, // longer than the lease
        4..20 => random.u64(..200),
        _ => random.u64(..10),
    };
    if before > 0 {
        // A caller that has gone away does not commit.
        let mut byte = [0];
        let gone = timeout(Duration::from_millis(before), stream.read(&mut byte));
        if gone.await.is_ok() {
            lock(state).calls[at].end = clock::now();
            return 0;
        }
    }
    let status = match mood {
        20..30 => 503,
        _ if is_refused => 422,
        _ => {
            let mut state = lock(state);
            let token = state.calls[at].token.clone();
            if !state.rows[key].contains(&token) {
                state.rows[key].push(token);
            }
            state.calls[at].committed = Some(clock::now());
            if (30..36).contains(&mood) { 503 } else { 201 }
        }
    };
    sleep(Duration::from_millis(random.u64(..5))).await;
    lock(state).calls[at].end = clock::now();
    status
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or(0)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request to the database at `address`.
pub(super) async fn ask(address: SocketAddr, line: &str) -> io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut reply = String::new();
    if stream.read_line(&mut reply).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(reply.trim_end().to_owned())
}

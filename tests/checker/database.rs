//! The database behind the caches: versions of items, in the process of the test.
//!
//! Its protocol is lines over TCP, one request per connection: `R ITEM…` returns the versions,
//! `W TOKEN ITEM` increments the item's version and returns it. Both wait before and after.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::world::ITEMS;
use crate::common::clock;

#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) token: u64,
    pub(super) item: usize,
    pub(super) version: u64,
    pub(super) at: u64,
}

/// The stages of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Received,
    Committed,
}

/// Runs between the commit of a write and its response.
type AtCommit = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    versions: [u64; ITEMS],
    commits: Vec<Commit>,
    awaited: HashMap<u64, (Stage, oneshot::Sender<()>)>,
    at_commit: HashMap<u64, AtCommit>,
    /// Whether reads are delayed.
    held: watch::Sender<bool>,
    /// The number of reads so far.
    reads: usize,
}

pub(super) struct Database {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Database {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            state,
            task,
        })
    }

    pub(super) fn versions(&self) -> [u64; ITEMS] {
        lock(&self.state).versions
    }

    pub(super) fn hold_reads(&self, yes: bool) {
        lock(&self.state).held.send_replace(yes);
    }

    pub(super) fn reads(&self) -> usize {
        lock(&self.state).reads
    }

    pub(super) fn commits(&self) -> Vec<Commit> {
        lock(&self.state).commits.clone()
    }

    /// Resolves when the write has reached the stage.
    pub(super) fn reached(&self, token: u64, stage: Stage) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.state).awaited.insert(token, (stage, sender));
        receiver
    }

    pub(super) fn at_commit(&self, token: u64, act: impl FnOnce() + Send + 'static) {
        lock(&self.state).at_commit.insert(token, Box::new(act));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let kind = words.next();
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    let reply = match (kind, &*numbers) {
        (Some("R"), items) => read(&state, items).await,
        (Some("W"), [token, item]) => write(&state, *token, index(*item)).await,
        _ => String::new(),
    };
    stream.write_all(reply.as_bytes()).await
}

async fn read(state: &Mutex<State>, items: &[u64]) -> String {
    let mut held = {
        let mut state = lock(state);
        state.reads += 1;
        state.held.subscribe()
    };
    let _ = held.wait_for(|held| !held).await;
    pause(20).await;
    let versions = lock(state).versions;
    // The version may be old when it arrives.
    pause(60).await;
    let shown: Vec<String> = items
        .iter()
        .map(|item| versions[index(*item)].to_string())
        .collect();
    shown.join(" ") + "\n"
}

async fn write(state: &Mutex<State>, token: u64, item: usize) -> String {
    reach(state, token, Stage::Received);
    pause(40).await;
    let version = {
        let mut state = lock(state);
        state.versions[item] += 1;
        let version = state.versions[item];
        state.commits.push(Commit {
            token,
            item,
            version,
            at: clock::now(),
        });
        version
    };
    let act = lock(state).at_commit.remove(&token);
    if let Some(act) = act {
        let _ = tokio::task::spawn_blocking(act).await;
    }
    reach(state, token, Stage::Committed);
    pause(20).await;
    format!("{version}\n")
}

fn reach(state: &Mutex<State>, token: u64, stage: Stage) {
    let mut state = lock(state);
    if state
        .awaited
        .get(&token)
        .is_some_and(|(awaited, _)| *awaited == stage)
        && let Some((_, sender)) = state.awaited.remove(&token)
    {
        // A waiting read may have been answered meanwhile.
        let _ = sender.send(());
    }
}

/// Pauses briefly, and sometimes for long, as a real database does.
async fn pause(percent: u32) {
    let millis = match fastrand::u32(..100) {
        chance if chance >= percent => 0,
        chance if chance < percent / 20 => fastrand::u64(..400),
        chance if chance < percent / 4 => fastrand::u64(..80),
        _ => fastrand::u64(..12),
    };
    if millis > 0 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

fn index(item: u64) -> usize {
    usize::try_from(item).unwrap_or(0) % ITEMS
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request to the database at `address`.
pub(super) async fn ask(address: SocketAddr, line: &str) -> io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut reply = String::new();
    stream.read_line(&mut reply).await?;
    match reply.trim_end() {
        "" => Err(io::ErrorKind::UnexpectedEof.into()),
        reply => Ok(reply.to_owned()),
    }
}

//! The connection between one process and its Redis primary, which can be delayed and cut.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The delayed traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delayed {
    /// Replies on connections that have sent `XREAD`.
    pub(crate) feed: bool,
    /// Requests on all others: they arrive later, even if the caller has given up.
    pub(crate) requests: bool,
}

struct State {
    /// The port of the Redis that this process uses.
    primary: AtomicU16,
    held: watch::Sender<Delayed>,
    /// Connections of earlier generations are cut.
    generation: watch::Sender<u64>,
    losing: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct FaultyProxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: Arc<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FaultyProxy {
    pub(crate) async fn start(primary: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            primary: AtomicU16::new(primary),
            held: watch::Sender::default(),
            generation: watch::Sender::default(),
            losing: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            state,
            _task: Arc::new(Task(task)),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn hold(&self, held: Delayed) {
        self.state.held.send_replace(held);
    }

    /// Cuts all connections; new ones go to the Redis on this port.
    pub(crate) fn lead_to(&self, primary: u16) {
        self.state.primary.store(primary, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn cut(&self) {
        self.state
            .generation
            .send_modify(|generation| *generation += 1);
    }

    /// From now on commands arrive, and their replies are lost with the connection.
    pub(crate) fn lose_replies(&self, yes: bool) {
        self.state.losing.store(yes, Ordering::SeqCst);
    }
}

async fn pass(client: TcpStream, state: Arc<State>) -> io::Result<()> {
    let mut generation = state.generation.subscribe();
    let server = TcpStream::connect(("127.0.0.1", state.primary.load(Ordering::SeqCst))).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let feed = AtomicBool::new(false);
    let requests = async {
        let mut held = state.held.subscribe();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return Ok::<_, io::Error>(());
            }
            if buffer[..read].windows(5).any(|word| word == b"XREAD") {
                feed.store(true, Ordering::SeqCst);
            }
            let is_feed = feed.load(Ordering::SeqCst);
            let _ = held.wait_for(|held| is_feed || !held.requests).await;
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let replies = async {
        let mut held = state.held.subscribe();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let feed = feed.load(Ordering::SeqCst);
            let _ = held.wait_for(|held| !feed || !held.feed).await;
            if read == 0 || state.losing.load(Ordering::SeqCst) {
                return Ok::<_, io::Error>(());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    // The direction that ends first drops both halves of both connections.
    tokio::select! {
        _ = requests => {}
        _ = replies => {}
        _ = generation.changed() => {}
    }
    Ok(())
}

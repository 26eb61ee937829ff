//! A TCP proxy that cuts a connection in the middle of a reply.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Forwards bytes between its own port and a server's, up to an allowance of reply bytes.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    allowance: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let allowance = Arc::new(AtomicU64::new(u64::MAX));
        let shared = Arc::clone(&allowance);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            allowance,
            task,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Cuts all connections after `bytes` more bytes of replies in total.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Forwards everything again on new connections.
    pub(crate) fn heal(&self) {
        self.allowance.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, server: u16, allowance: Arc<AtomicU64>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async move { tokio::io::copy(&mut from_client, &mut to_server).await };
    let replies = async move {
        let mut buffer = vec![0; 4096];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let allowed = spend(&allowance, read as u64) as usize;
            to_client.write_all(&buffer[..allowed]).await?;
            if read == 0 || allowed < read {
                return Ok::<_, io::Error>(());
            }
        }
    };
    // Whichever ends first drops both halves of both connections.
    tokio::select! {
        _ = requests => {}
        _ = replies => {}
    }
    Ok(())
}

/// Takes up to `bytes` from the allowance and returns how many it got.
fn spend(allowance: &AtomicU64, bytes: u64) -> u64 {
    let spent = |left: u64| {
        Some(if left == u64::MAX {
            left
        } else {
            left.saturating_sub(bytes)
        })
    };
    let before = allowance
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent)
        .unwrap_or(0);
    before.min(bytes)
}

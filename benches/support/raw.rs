//! Redis without the crate: as many multiplexed connections as it opens.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    io::tcp::TcpSettings,
};

/// How many connections each side has.
pub(crate) const CONNECTIONS: usize = 2;

/// Multiplexed connections, taken in turn.
#[derive(Clone)]
pub(crate) struct Raw {
    connections: Arc<[MultiplexedConnection]>,
    next: Arc<AtomicUsize>,
}

impl Raw {
    pub(crate) async fn connect(url: &str) -> Self {
        let info = url.into_connection_info().expect("a Redis URL");
        // As the crate's own: what waits to be sent waits for no acknowledgement.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).expect("a Redis URL");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            // No timer for a command: what is compared is the way there and back.
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(None)
                .set_pipeline_buffer_size(4096);
            let connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await;
            connections.push(connection.expect("the server runs"));
        }
        Self {
            connections: connections.into(),
            next: Arc::default(),
        }
    }

    /// Sends one command.
    ///
    /// # Panics
    ///
    /// At an error reply.
    pub(crate) async fn send(&self, command: Cmd) -> Value {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut connection = self.connections[turn].clone();
        let reply = connection.req_packed_command(&command).await;
        reply.and_then(Value::extract_error).expect("a reply")
    }
}

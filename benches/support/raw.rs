//! Redis without the crate, over as many multiplexed connections as the crate opens.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    io::tcp::TcpSettings,
};

/// The number of connections of each side.
pub(crate) const CONNECTIONS: usize = 2;

/// Multiplexed connections, used in turn.
#[derive(Clone)]
pub(crate) struct Raw {
    connections: Arc<[MultiplexedConnection]>,
    next: Arc<AtomicUsize>,
}

impl Raw {
    pub(crate) async fn connect(url: &str) -> Self {
        let info = url.into_connection_info().expect("a Redis URL");
        // As the crate's own connections: without Nagle's algorithm.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).expect("a Redis URL");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            // Without a timer per command, so that only the round trip is compared.
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
    /// If the reply is an error.
    pub(crate) async fn send(&self, command: Cmd) -> Value {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut connection = self.connections[turn].clone();
        let reply = connection.req_packed_command(&command).await;
        reply.and_then(Value::extract_error).expect("a reply")
    }
}

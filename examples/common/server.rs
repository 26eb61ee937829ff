//! A hyper server for HTTP/1.1 and HTTP/2 without TLS, with graceful shutdown.

use std::{convert::Infallible, error::Error, net::SocketAddr, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time,
};
use tower::{Service, ServiceExt};

use super::common::{self, Failure, stop::GRACE_PERIOD};

/// Serves until SIGTERM or SIGINT, then waits for requests in progress.
///
/// Each request has the client's [`SocketAddr`] in its extensions. `accept` returns, for a connection, the stream to
/// serve and the service for its requests.
pub(crate) async fn serve<A, I, S, B>(address: SocketAddr, accept: A) -> Result<(), Failure>
where
    A: Fn(TcpStream) -> (I, S),
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind(address).await?;
    let connections = GracefulShutdown::new();
    let stop = common::stop()?;
    common::announce(listener.local_addr()?)?;

    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.clone() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let (io, service) = accept(stream);
                let service = service.map_request(move |request| with_peer(request, peer));
                let watcher = connections.watcher();
                tokio::spawn(async move {
                    let builder = protocols();
                    let service = TowerToHyperService::new(service);
                    let connection = builder.serve_connection(TokioIo::new(io), service);
                    if let Err(error) = watcher.watch(connection).await {
                        tracing::debug!(%peer, error, "connection ended");
                    }
                });
            }
            // For example, too many open files: wait until some are closed.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    common::until_stopped(connections.shutdown(), stop).await;
    Ok(())
}

fn with_peer<B>(mut request: Request<B>, peer: SocketAddr) -> Request<B> {
    request.extensions_mut().insert(peer);
    request
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(GRACE_PERIOD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(GRACE_PERIOD);
    builder
}

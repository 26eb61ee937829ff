//! A caching reverse proxy.
//!
//! ```sh
//! cargo run --example proxy -- --origin http://127.0.0.1:8080
//! curl -i localhost:3000/
//! ```
//!
//! A 400, or another response about the request, is not stored even if it has `max-age`, which RFC 9111 would
//! allow: otherwise one client could have the refusal of its malformed request stored for all.
//!
//! [`gate`] checks incoming requests, [`origin`] forwards them, and [`proxy`] puts the layers together.

mod authentication;
mod fields;
mod gate;
mod interim;
mod origin;
mod refusal;
mod timeout;

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/server.rs"]
mod server;

use std::{process::ExitCode, time::Duration};

use http::Request;
use hyper::body::Incoming;
use tower::{ServiceBuilder, service_fn};
use tower_keep::{
    CacheLayer, InvalidateLayer, RateLimitLayer, Table, message::RequestBody, table::Unlisted,
};

use common::{Failure, Flags};
use interim::Interim;
use origin::{Origin, OriginUrl};
use timeout::Timeout;

const HELP: &str = "\
proxy: a caching reverse proxy

Usage: cargo run --example proxy -- --origin URL [FLAGS]

  --origin URL           the server to forward to, e.g. http://127.0.0.1:8080
  --origin-timeout TIME  time limit for the head of the origin's response [default: 30s]
  --table FILE           routes, TTLs and limits; without a table, responses are stored for as long as they state
                         or, if they state nothing, for a tenth of the time since Last-Modified, at most a day
  --listen ADDR          address to listen on [default: 127.0.0.1:3000]; port 0 picks a free port
  --redis URL            share stored responses and limits with other processes, e.g. redis://127.0.0.1/
  --help                 print this text

Clients use HTTP/1.1 or HTTP/2 without TLS; the origin is contacted with HTTP/1.1. The client's Host is forwarded, its
address is appended to X-Forwarded-For, and Via is added in both directions. If the origin cannot be reached, the
response is 502; if it does not respond in time, 504. CONNECT, TRACE and registered methods in other letters (`get`) are
refused, as are NTLM and Negotiate, which authenticate a connection, since connections to the origin are shared;
Upgrade is ignored.
";

fn main() -> ExitCode {
    common::run(HELP, proxy)
}

async fn proxy(mut flags: Flags) -> Result<(), Failure> {
    let address = flags.listen()?;
    let url = flags.optional::<OriginUrl>("--origin")?;
    let timeout = flags
        .optional("--origin-timeout")?
        .unwrap_or(Timeout(Duration::from_secs(30)));
    let keep = flags.keep(Table::new().unlisted(Unlisted::Standard))?;
    flags.finish()?;
    let url = url.ok_or_else(|| Failure::usage("--origin URL is missing"))?;
    let keep = keep.open().await?;

    // Outermost first.
    let app = ServiceBuilder::new()
        .layer(RateLimitLayer::new(&keep))
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(Origin::new(url, timeout.0));

    server::serve(address, |stream| {
        let (io, turns) = Interim::new(stream);
        let app = app.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            gate::enter(app.clone(), turns.clone(), request.map(RequestBody::new))
        });
        (io, service)
    })
    .await?;
    common::flush(&keep).await;
    Ok(())
}

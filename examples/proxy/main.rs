//! A caching reverse proxy.
//!
//! ```sh
//! cargo run --example proxy -- --origin http://127.0.0.1:8080
//! curl -i localhost:3000/
//! ```
//!
//! What it does to a message on its way is in [`gate`] and [`origin`]; where it is stacked is [`proxy`].

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
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer, Table, message::RequestBody};

use common::{Failure, Flags};
use interim::Interim;
use origin::{Origin, OriginUrl};
use timeout::Timeout;

const HELP: &str = "\
proxy: a caching reverse proxy

Usage: cargo run --example proxy -- --origin URL [FLAGS]

  --origin URL           where answers come from, such as http://127.0.0.1:8080
  --origin-timeout TIME  how long the origin may take to begin its answer [default: 30s]
  --table FILE           routes, TTLs and limits; without it, responses are kept for as long as they say, or, where
                         they say nothing, for a tenth of the time since their Last-Modified, a day at most
  --listen ADDR          where to listen [default: 127.0.0.1:3000]; port 0 takes a free one
  --redis URL            share stored responses and limits with other processes, such as redis://127.0.0.1/
  --help                 this text

It speaks HTTP/1.1 and HTTP/2 without TLS to clients, and HTTP/1.1 to the origin. The client's Host is passed on,
its address appended to X-Forwarded-For, and Via added both ways. An origin that cannot be reached is a 502, one
that does not answer in time a 504. CONNECT and TRACE are refused; Upgrade is ignored.
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
    let keep = flags.keep(Table::new())?;
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

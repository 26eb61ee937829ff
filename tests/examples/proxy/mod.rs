//! The proxy in front of all kinds of origins, used with plain bytes.

mod authentication;
mod caching;
mod early;
mod failure;
mod fields;
mod framing;
mod smuggling;
mod targets;

use super::{program::Program, raw_origin::RawOrigin};

/// A proxy in front of `origin`.
fn proxy(origin: &RawOrigin) -> Program {
    Program::start("proxy", &["--origin", &origin.url()])
}

/// The head of the one request that an origin received.
fn only(origin: &RawOrigin) -> String {
    let received = origin.received();
    assert_eq!(received.len(), 1, "{received:?}");
    received[0].clone()
}

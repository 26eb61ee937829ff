//! The fence: each process's mirror of the journal, which decides whether a stored response is
//! still usable.
//!
//! A stored response carries the position up to which this process had applied the journal before
//! the inner service was called. It is usable while nothing later in the journal names it. The fast
//! path is one comparison of stamps, and for what has not been checked here before one of positions:
//! what nothing at all was named after needs no names; see [`Fence::check`].

mod append;
mod check;
mod declare;
mod index;
mod metrics;
mod mirror;
mod names;
mod news;
mod pattern;
mod pending;
mod programs;
#[cfg(all(test, feature = "redis"))]
mod redis_tests;
mod settle;
#[cfg(test)]
mod shared_tests;
mod sync;
mod tasks;
#[cfg(test)]
mod tests;

#[allow(unused_imports)] // while the rooms are being built
pub(crate) use self::{
    check::{Capture, Fence, Options, Verdict},
    declare::Declaration,
    names::{Names, subjects_of},
    news::{News, Subscription},
};

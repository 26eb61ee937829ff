//! Ratios, measured in one run: time by interleaved rounds, allocations by a counting allocator,
//! instructions by callgrind where valgrind is installed.

#![allow(dead_code, unused_imports)] // every bench uses a part of it

mod callgrind;
mod compare;
#[cfg(feature = "redis")]
mod flood;
pub mod inner;
#[cfg(feature = "redis")]
pub mod raw;
mod threads;

#[cfg(feature = "redis")]
pub use self::flood::{Load, Rate, beside};
pub use self::{
    callgrind::probing,
    compare::{Case, Cost, compare, ratio},
    threads::scaling,
};

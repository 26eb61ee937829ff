//! Ratios, measured in one run: time by interleaved rounds, allocations by a counting allocator,
//! instructions by callgrind where valgrind is installed.

#![allow(dead_code, unused_imports)] // every bench uses a part of it

mod callgrind;
mod compare;
#[cfg(feature = "redis")]
mod flood;
pub(crate) mod inner;
#[cfg(feature = "redis")]
pub(crate) mod raw;
#[cfg(feature = "redis")]
pub(crate) mod shared;
mod threads;

#[cfg(feature = "redis")]
pub(crate) use self::flood::{Load, Rate, beside};
pub(crate) use self::{
    callgrind::{probing, share},
    compare::{Case, Cost, compare, ratio},
    threads::scaling,
};

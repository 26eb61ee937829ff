//! Compares cases in one run: time in interleaved rounds, allocations with a counting allocator, and instructions with
//! callgrind where valgrind is installed.

#![allow(dead_code, unused_imports)] // each bench uses a part of it

mod callgrind;
mod compare;
mod flood;
pub(crate) mod inner;
mod poll;
pub(crate) mod raw;
pub(crate) mod shared;
mod threads;

pub(crate) use self::flood::{Load, Rate, beside};
pub(crate) use self::{
    callgrind::{probing, share},
    compare::{Case, Cost, compare, ratio},
    poll::poll_ready,
    threads::scaling,
};

//! The grammar as a whole; each test names what it promises.

mod grammar;
mod matching;
mod refusals;

/// The table of the guide: every section and most settings.
const WHOLE: &str = include_str!("whole.toml");

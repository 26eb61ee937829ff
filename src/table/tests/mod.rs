mod grammar;
mod matching;
mod refusals;

/// A table with every section and most settings.
const WHOLE: &str = include_str!("whole.toml");

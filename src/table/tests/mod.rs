mod grammar;
mod invalid_tables;
mod matching;
mod paths_and_hosts;

/// A table with every section and most settings.
const WHOLE: &str = include_str!("whole.toml");

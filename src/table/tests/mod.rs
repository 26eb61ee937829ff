mod grammar;
mod invalid_tables;
mod matching;

/// A table with every section and most settings.
const WHOLE: &str = include_str!("whole.toml");

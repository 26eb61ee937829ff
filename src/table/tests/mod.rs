mod behind;
mod grammar;
mod invalid_tables;
mod matching;
mod names_and_lifetimes;
mod paths_and_hosts;
mod probable_mistakes;

/// A table with every section and most settings.
const WHOLE: &str = include_str!("whole.toml");

use crate::{
    key::{PathReadings, path::normalize_escapes},
    table::plan::path::{self, PathPattern},
};

/// The compiled `path` of a limit.
#[derive(Debug)]
pub(super) struct LimitPath {
    /// The literal text before the first parameter: a cheap test that most other paths fail.
    prefix: Box<str>,
    router: matchit::Router<()>,
    /// As in the table.
    pub(super) text: Box<str>,
}

impl LimitPath {
    /// Many servers serve a path alike with and without a slash at its end, so that a limit that
    /// counted only one of them could be avoided by the other.
    pub(super) fn compile(path: &str) -> Result<Self, String> {
        let mut router = matchit::Router::new();
        insert_path(&mut router, path)?;
        let without_slash = path.trim_end_matches('/');
        if without_slash.len() < path.len() && !without_slash.is_empty() {
            insert_path(&mut router, without_slash)?;
        }
        let normal = normalize_escapes(without_slash);
        let prefix = normal.split(['{', '}']).next().unwrap_or_default();
        Ok(Self {
            prefix: prefix.into(),
            router,
            text: path.into(),
        })
    }

    /// Whether a server may read a path that matches, with or without the slashes at its end.
    #[inline]
    pub(super) fn matches(&self, paths: &PathReadings<'_>) -> bool {
        paths.iter().any(|path| self.matches_reading(path))
    }

    /// Whether one reading of a path matches, with or without the slashes at its end.
    #[inline]
    pub(super) fn matches_reading(&self, path: &str) -> bool {
        let matches = |path: &str| path.starts_with(&*self.prefix) && self.router.at(path).is_ok();
        let without_slash = path.trim_end_matches('/');
        matches(path) || without_slash.len() < path.len() && matches(without_slash)
    }
}

/// Adds a path in matchit's syntax to `router`, which then matches normalised paths.
pub(super) fn insert_path(router: &mut matchit::Router<()>, path: &str) -> Result<(), String> {
    let pattern = PathPattern::parse(&normalize_escapes(path))?;
    router
        .insert(pattern.shape, ())
        .map_err(|error| path::refusal(path, &error))
}

use crate::table::plan::path::{self, PathPattern};

/// The compiled `path` of a limit.
#[derive(Debug)]
pub(super) struct LimitPath {
    /// The literal text before the first parameter: a cheap test that most other paths fail.
    prefix: Box<str>,
    router: matchit::Router<()>,
}

impl LimitPath {
    pub(super) fn compile(path: &str) -> Result<Self, String> {
        let mut router = matchit::Router::new();
        insert_path(&mut router, path)?;
        let prefix = path.split(['{', '}']).next().unwrap_or_default();
        Ok(Self {
            prefix: prefix.into(),
            router,
        })
    }

    #[inline]
    pub(super) fn matches(&self, path: &str) -> bool {
        path.starts_with(&*self.prefix) && self.router.at(path).is_ok()
    }
}

/// Adds a path in matchit's syntax to `router`.
pub(super) fn insert_path(router: &mut matchit::Router<()>, path: &str) -> Result<(), String> {
    let pattern = PathPattern::parse(path)?;
    router
        .insert(pattern.shape, ())
        .map_err(|error| path::refusal(path, &error))
}

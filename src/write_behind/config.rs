//! The settings of a `WriteBehindLayer`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::Request;

use super::validation::{Validate, WriteRefusal};
use crate::{engine::core::Engine, keep::handle::Keep};

/// The settings of a [`WriteBehindLayer`](super::WriteBehindLayer), shared by its services.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    /// Checks the writes of every route.
    pub(super) validate: Option<Arc<Validate>>,
    /// Checks those of the routes with this path, as it is written in the table.
    pub(super) validate_routes: Vec<(Box<str>, Arc<Validate>)>,
}

impl Config {
    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.keep.engine()
    }

    /// Whether the application vouches for the writes of a route.
    pub(super) fn vouches_for(&self, path: &str) -> bool {
        self.validation(path).is_some()
    }

    /// Lets the application check a write to the route with this path.
    pub(super) async fn validate(
        &self,
        path: &str,
        request: impl FnOnce() -> Request<Bytes>,
    ) -> Result<(), WriteRefusal> {
        match self.validation(path) {
            Some(validate) => validate(request()).await,
            None => Ok(()),
        }
    }

    fn validation(&self, path: &str) -> Option<&Arc<Validate>> {
        let mut routes = self.validate_routes.iter();
        let of_route = routes.find(|(route, _)| **route == *path);
        of_route
            .map(|(_, validate)| validate)
            .or(self.validate.as_ref())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.validate_routes.iter().map(|(path, _)| path);
        f.debug_struct("WriteBehindLayer")
            .field("keep", &self.keep)
            .field("validate", &self.validate.is_some())
            .field("validate_routes", &routes.collect::<Vec<_>>())
            .finish()
    }
}

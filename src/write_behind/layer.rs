use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use http::Request;
use tower_layer::Layer;

use super::{
    config::Config,
    service::WriteBehind,
    validation::{Validate, WriteRefusal},
};
use crate::keep::handle::Keep;

/// Accepts the writes of routes with `write = "behind"` into the queue and answers 202; a worker
/// applies them later. See the [module](super).
#[derive(Clone)]
#[must_use]
pub struct WriteBehindLayer {
    config: Arc<Config>,
}

impl WriteBehindLayer {
    /// Creates a layer over `keep`, whose table says which routes queue their writes.
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                validate: None,
                validate_routes: Vec::new(),
            }),
        }
    }

    /// Sets a function that checks each write before it is accepted: whether its user may write this,
    /// and whether its content is valid. An error is the response, at once: a status, or a whole
    /// response. Without such a check, a mistake of the client is found only when the write is applied.
    ///
    /// It gets the request as it came, with its extensions and all of its content. If the write is found
    /// by its `Idempotency-Key`, it is checked again.
    ///
    /// Because the application has checked these writes, what they show before they are applied
    /// (`pending`) is shown to every user, and not only to their own.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, StatusCode};
    /// use tower_keep::{Keep, WriteBehindLayer};
    ///
    /// # let keep = Keep::default();
    /// let layer = WriteBehindLayer::new(&keep).validate(async |request: Request<Bytes>| {
    ///     match serde_json::from_slice::<serde_json::Value>(request.body()) {
    ///         Ok(_) => Ok(()),
    ///         Err(_) => Err(StatusCode::BAD_REQUEST),
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    pub fn validate<F, Fut, E>(mut self, check: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<WriteRefusal>,
    {
        self.config_mut().validate = Some(boxed(check));
        self
    }

    /// Sets a function that checks the writes of one route, in place of that of
    /// [`validate`](Self::validate). `path` is the route's, as it is written in the table:
    /// `/agents/{id}/activity`. A path that no route with `write = "behind"` has is logged.
    pub fn validate_route<F, Fut, E>(mut self, path: impl Into<Box<str>>, check: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<WriteRefusal>,
    {
        let path = path.into();
        let snapshot = self.config.engine().snapshot.load_full();
        let mut routes = snapshot.plan.routes().iter();
        if !routes.any(|route| route.path == path && route.behind.is_some()) {
            tracing::warn!(%path, "no route of the table with `write = \"behind\"` has this path");
        }
        let routes = &mut self.config_mut().validate_routes;
        routes.retain(|(other, _)| *other != path);
        routes.push((path, boxed(check)));
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

fn boxed<F, Fut, E>(check: F) -> Arc<Validate>
where
    F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<WriteRefusal>,
{
    Arc::new(move |request| {
        let checked = check(request);
        Box::pin(async move { checked.await.map_err(Into::into) })
    })
}

impl<S> Layer<S> for WriteBehindLayer {
    type Service = WriteBehind<S>;

    fn layer(&self, inner: S) -> WriteBehind<S> {
        WriteBehind::new(inner, Arc::clone(&self.config))
    }
}

impl fmt::Debug for WriteBehindLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

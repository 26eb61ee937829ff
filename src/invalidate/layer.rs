use std::{fmt, sync::Arc, time::Duration};

use http::{request, response};
use tower_layer::Layer;

use super::{config::Config, service::Invalidate};
use crate::{keep::handle::Keep, key::Key};

/// Makes stored responses unusable after a successful write, before its response is passed on.
///
/// See the [module](super) for what a write invalidates, and when.
///
/// Make one for each router or service. Its clones share the services to which write-through sends
/// GETs; these are freed with the last clone of the layer and of its services.
#[derive(Clone)]
pub struct InvalidateLayer {
    config: Arc<Config>,
}

impl InvalidateLayer {
    /// Creates a layer over `keep`, whose table defines what the writes of a route invalidate.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                longest_write: Duration::from_secs(60),
                key: None,
                invalidate_when: None,
                get_services: Arc::default(),
            }),
        }
    }

    /// Sets the longest time that a declared write (`before = true`) may take. The default is one
    /// minute, the maximum a day.
    ///
    /// It must exceed the longest possible write. If the process dies during a declared write, or the
    /// write ends and may still be committed, no process caches the declared targets for this long; then
    /// they are invalidated. If the process has died, a commit after that goes unnoticed.
    ///
    /// Reading the content of such a request, before the write is declared, may take as long again; a
    /// slower request is answered with 408.
    #[must_use]
    pub fn longest_write(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.config).longest_write = time;
        self
    }

    /// Sets a function that derives a key that a write to a route invalidates in addition to the
    /// targets that the table names: the key that [`CacheLayer::key`](crate::CacheLayer::key)
    /// derives for the same path.
    ///
    /// The `CacheLayer` itself invalidates that key only if the write succeeds and its client has not
    /// disconnected.
    #[must_use]
    pub fn key<F>(mut self, key: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<Key> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).key = Some(Arc::new(key));
        self
    }

    /// Sets a function that decides by the head of a response whether the write was committed, in
    /// place of the status, for the requests that match a route and are not gRPC.
    ///
    /// If it returns true, everything is invalidated that a 2xx invalidates; otherwise only the target
    /// of a response that is not an error (RFC 9111 section 4.4). It should return true for a 5xx
    /// after which the write may have been committed. An application that answers committed writes
    /// with a 302, for example, needs it, because a 302 is also what a request without a session gets:
    ///
    /// ```
    /// # use tower_keep::{InvalidateLayer, Keep};
    /// # let keep = Keep::default();
    /// let layer = InvalidateLayer::new(&keep).invalidate_when(|head| {
    ///     let location = head.headers.get("location");
    ///     let is_login = location.is_some_and(|location| location == "/login");
    ///     !head.status.is_client_error() && !is_login
    /// });
    /// ```
    #[must_use]
    pub fn invalidate_when<F>(mut self, condition: F) -> Self
    where
        F: Fn(&response::Parts) -> bool + Send + Sync + 'static,
    {
        let config = Arc::make_mut(&mut self.config);
        config.invalidate_when = Some(Arc::new(condition));
        self
    }
}

impl<S> Layer<S> for InvalidateLayer {
    type Service = Invalidate<S>;

    fn layer(&self, inner: S) -> Invalidate<S> {
        Invalidate::new(inner, Arc::clone(&self.config))
    }
}

impl fmt::Debug for InvalidateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

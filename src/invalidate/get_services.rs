//! The services that answer the GETs of an axum router's routes.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::request;

use crate::{
    error::ignore_poison,
    message::{matched_route::MatchedRoute, response_future::BoxFuture},
};

/// Services that have passed a GET on, by the path of the axum route.
///
/// axum wraps the handler of each method separately, so that a write's own inner service does not
/// answer GETs. The services of all routers to which clones of a layer are applied share this map; it
/// is freed with the last of them.
#[derive(Default)]
pub(super) struct GetServices {
    by_path: Mutex<HashMap<Box<str>, GetService>>,
}

struct GetService {
    route: MatchedRoute,
    /// Identifies the service; if false, it registers again with its next GET.
    is_registered: Arc<AtomicBool>,
    /// The authorities of the GETs with which it has registered, the latest last.
    hosts: Vec<Option<Box<str>>>,
    /// How many more GETs register, in search of the host of a write.
    searches: usize,
    send: Box<SendGet>,
}

/// Sends a GET to a service, and reads the response to its end.
pub(super) type SendGet = dyn Fn(request::Parts) -> BoxFuture<()> + Send;

impl GetServices {
    /// Remembers the service that has passed on a GET of this route for `host`, in place of another.
    pub(super) fn register(
        &self,
        route: MatchedRoute,
        host: Option<&str>,
        is_registered: &Arc<AtomicBool>,
        send: Box<SendGet>,
    ) {
        let mut by_path = ignore_poison(self.by_path.lock());
        if let Some(known) = by_path.get_mut(route.path())
            && known.is_same(&route, is_registered)
        {
            return known.add_host(host);
        }
        is_registered.store(true, Ordering::Release);
        let path = route.path().into();
        let service = GetService {
            route,
            is_registered: Arc::clone(is_registered),
            hosts: vec![host.map(Into::into)],
            searches: 0,
            send,
        };
        let replaced = by_path.insert(path, service);
        // Its drop may free a handler, which must not happen under the lock.
        drop(by_path);
        drop(replaced);
    }

    /// A GET with these parts to the service of the route; `None` if the service is not known. With
    /// `host`, the service must have passed on a GET for that host, because routers for other hosts
    /// may share the layer.
    pub(super) fn get(
        &self,
        route: &MatchedRoute,
        host: Option<Option<&str>>,
        parts: request::Parts,
    ) -> Option<BoxFuture<()>> {
        let mut by_path = ignore_poison(self.by_path.lock());
        let service = by_path.get_mut(route.path());
        let service = service.filter(|service| service.route.is_same(route))?;
        if host.is_some_and(|host| !service.has_host(host)) {
            service.search_hosts();
            return None;
        }
        Some((service.send)(parts))
    }
}

impl GetService {
    fn is_same(&self, route: &MatchedRoute, is_registered: &Arc<AtomicBool>) -> bool {
        self.route.is_same(route) && Arc::ptr_eq(&self.is_registered, is_registered)
    }

    fn has_host(&self, host: Option<&str>) -> bool {
        self.hosts.iter().any(|known| known.as_deref() == host)
    }

    fn search_hosts(&mut self) {
        self.searches = MAX_SEARCHES;
        self.is_registered.store(false, Ordering::Release);
    }

    fn add_host(&mut self, host: Option<&str>) {
        self.searches = self.searches.saturating_sub(1);
        self.is_registered
            .store(self.searches == 0, Ordering::Release);
        if self.has_host(host) {
            return;
        }
        if self.hosts.len() == MAX_HOSTS {
            self.hosts.remove(0);
        }
        self.hosts.push(host.map(Into::into));
    }
}

/// The maximum number of authorities that are remembered for a service.
const MAX_HOSTS: usize = 32;

/// The number of GETs that register again after a write for a host that is not known.
const MAX_SEARCHES: usize = 256;

impl fmt::Debug for GetServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetServices").finish_non_exhaustive()
    }
}

//! The application's functions that read a user or the original URI from a request.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use http::{Extensions, Uri, request};

use crate::{identity::UserId, message::target};

type Identify = dyn Fn(&request::Parts) -> Option<UserId> + Send + Sync;
type FindUri = dyn for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync;

/// The functions of [`Keep::identify`](crate::Keep::identify) and [`Keep::path`](crate::Keep::path).
#[derive(Default)]
pub(crate) struct RequestExtractors {
    identify: ArcSwapOption<Box<Identify>>,
    find_uri: OnceLock<Box<FindUri>>,
}

impl RequestExtractors {
    pub(crate) fn set_identify(&self, identify: Box<Identify>) {
        self.identify.store(Some(Arc::new(identify)));
    }

    /// Sets the function unless one is set. Returns whether it was set.
    pub(crate) fn set_find_uri(&self, find: Box<FindUri>) -> bool {
        self.find_uri.set(find).is_ok()
    }

    pub(super) fn identify(&self, parts: &request::Parts) -> Option<UserId> {
        let identify = self.identify.load();
        identify.as_ref().and_then(|identify| identify(parts))
    }

    /// The URI as received: from the application's function, else axum's `OriginalUri`, else `uri`.
    #[inline]
    pub(super) fn uri<'a>(&self, uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
        let find = self.find_uri.get();
        find.and_then(|find| find(extensions))
            .unwrap_or_else(|| target::original_uri(uri, extensions))
    }
}

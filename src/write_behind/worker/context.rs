use std::sync::Arc;

use super::{settings::WorkerSettings, shutdown::Shutdown};
use crate::{engine::core::Engine, store::contracts::queue::Queue};

/// What all attempts of a worker share.
pub(super) struct WorkerContext {
    pub(super) engine: Arc<Engine>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) settings: WorkerSettings,
    pub(super) shutdown: Shutdown,
}

impl WorkerContext {
    pub(super) fn new(
        engine: Arc<Engine>,
        queue: Arc<dyn Queue>,
        settings: WorkerSettings,
    ) -> Self {
        Self {
            engine,
            queue,
            settings,
            shutdown: Shutdown::new(),
        }
    }
}

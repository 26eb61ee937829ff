//! What GETs show of writes in a queue in memory, in front of a service with a cache.

mod hooked_queue;
mod races;
mod scene;
mod shown;

use self::scene::{Reply, Scene};

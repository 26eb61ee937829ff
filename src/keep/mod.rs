//! The handle that the layers share, and the cache API for code that is not a request handler.
//!
//! A [`Keep`] is made from a [`Table`](crate::Table) and given to every layer. Its methods provide to
//! application code what the layers do for requests:
//!
//! | methods | purpose |
//! |---|---|
//! | [`get`](Keep::get), [`set`](Keep::set), [`get_or_set`](Keep::get_or_set), [`entry`](Keep::entry), [`mark`](Keep::mark) | store values as JSON |
//! | [`invalidate`](Keep::invalidate), [`delete`](Keep::delete), [`delete_pattern`](Keep::delete_pattern), [`bump_version`](Keep::bump_version), [`write`](Keep::write) | make stored responses and values unusable |
//! | [`invalidations`](Keep::invalidations) | invalidate the application's own caches |
//! | [`rate_limit`](Keep::rate_limit), [`increment`](Keep::increment) | count uses, with and without a quota |
//! | [`queue`](Keep::queue) | queue writes, look them up, and handle those that were given up |
//! | [`warm`](Keep::warm) | store responses before they are requested |
//! | [`reload`](Keep::reload), [`flush`](Keep::flush) | replace the table, and wait for invalidations before a shutdown |

mod events;
mod get_or_set_error;
pub(crate) mod handle;
mod invalidation;
mod limits;
mod queue;
mod removal;
mod values;
mod warm;
mod write;

pub use events::Invalidations;
pub use get_or_set_error::GetOrSetError;
pub use handle::Keep;
pub use invalidation::Invalidation;
pub use limits::RateLimitResult;
pub use queue::{EnqueueFuture, WriteQueue};
pub use removal::InvalidateFuture;
pub use values::{Mark, ValueEntry};
pub use warm::WarmUpReport;

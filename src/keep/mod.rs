//! The handle that the layers share, and the cache API for code that is not a request handler.
//!
//! A [`Keep`] is made from a [`Table`](crate::Table) and given to every layer. Its methods provide to
//! application code what the layers do for requests:
//!
//! | methods | purpose |
//! |---|---|
//! | [`get`](Keep::get), [`set`](Keep::set), [`get_or_set`](Keep::get_or_set), [`get_or_refresh`](Keep::get_or_refresh), [`entry`](Keep::entry), [`mark`](Keep::mark) | store values as JSON |
//! | [`get_many`](Keep::get_many), [`set_many`](Keep::set_many), [`ttl`](Keep::ttl), [`exists`](Keep::exists) | read and store many values, and ask for a value's remaining time |
//! | [`invalidate`](Keep::invalidate), [`delete`](Keep::delete), [`delete_pattern`](Keep::delete_pattern), [`bump_version`](Keep::bump_version), [`write`](Keep::write) | make stored responses and values unusable |
//! | [`invalidations`](Keep::invalidations) | invalidate the application's own caches |
//! | [`rate_limit`](Keep::rate_limit), [`increment`](Keep::increment), [`counter`](Keep::counter) | count uses, with and without a quota |
//! | [`queue`](Keep::queue) | queue writes, look them up, and handle those that were given up |
//! | [`warm`](Keep::warm), [`warm_with`](Keep::warm_with) | store responses before they are requested |
//! | [`reload`](Keep::reload), [`flush`](Keep::flush) | replace the table, and wait for invalidations before a shutdown |

#[cfg(feature = "macros")]
#[doc(hidden)]
#[allow(missing_docs)] // the attributes expand to it; it is no interface
pub mod attribute_support;
mod events;
mod get_or_set_error;
pub(crate) mod handle;
mod invalidation;
mod limits;
mod mark;
mod queue;
mod removal;
mod value_condition;
mod value_decision;
mod value_entry;
mod value_json;
mod value_lookup;
mod value_making;
mod value_options;
mod value_reads;
mod value_refresh;
mod value_store;
mod values;
mod warm;
mod write;
mod write_future;

pub use events::Invalidations;
pub use get_or_set_error::GetOrSetError;
pub use handle::Keep;
pub use invalidation::Invalidation;
pub use limits::RateLimitResult;
pub use mark::Mark;
pub use queue::{EnqueueFuture, WriteQueue};
pub use removal::InvalidateFuture;
pub use value_condition::{Always, StoreCondition, StoredIf};
pub use value_entry::ValueEntry;
pub use warm::{WarmUp, WarmUpReport};
pub use write_future::WriteFuture;

pub use crate::store::contracts::plain::TimeLeft;

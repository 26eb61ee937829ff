//! The handle that the layers share, and the cache API for code that is not a request handler.
//!
//! A [`Keep`] is made from a [`Table`](crate::Table) and given to every layer. Its methods provide to
//! application code what the layers do for requests:
//!
//! | methods | purpose |
//! |---|---|
//! | [`get`](Keep::get), [`set`](Keep::set), [`get_or_set`](Keep::get_or_set), [`entry`](Keep::entry), [`mark`](Keep::mark) | store values as JSON |
//! | [`get_many`](Keep::get_many), [`set_many`](Keep::set_many), [`ttl`](Keep::ttl), [`exists`](Keep::exists) | read and store many values, and ask for a value's remaining time |
//! | [`invalidate`](Keep::invalidate), [`delete`](Keep::delete), [`delete_pattern`](Keep::delete_pattern), [`bump_version`](Keep::bump_version), [`write`](Keep::write) | make stored responses and values unusable |
//! | [`invalidations`](Keep::invalidations) | invalidate the application's own caches |
//! | [`rate_limit`](Keep::rate_limit), [`increment`](Keep::increment), [`counter`](Keep::counter) | count uses, with and without a quota |
//! | [`warm`](Keep::warm) | store responses before they are requested |
//! | [`reload`](Keep::reload), [`flush`](Keep::flush) | replace the table, and wait for invalidations before a shutdown |

mod events;
mod get_or_set_error;
pub(crate) mod handle;
mod invalidation;
mod limits;
mod removal;
mod value_json;
mod value_lookup;
mod value_reads;
mod values;
mod warm;
mod write;

pub use events::Invalidations;
pub use get_or_set_error::GetOrSetError;
pub use handle::Keep;
pub use invalidation::Invalidation;
pub use limits::RateLimitResult;
pub use removal::InvalidateFuture;
pub use values::{Mark, ValueEntry};
pub use warm::WarmUpReport;

pub use crate::store::contracts::plain::TimeLeft;

//! Positions in the order of invalidations.

use super::handle::Keep;
use crate::fence::capture::Capture;

/// A position in the order of invalidations, taken before a value is read from its source.
///
/// See [`Keep::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark(pub(super) Capture);

impl Keep {
    /// Returns the current position in the order of invalidations, for
    /// [`ValueEntry::set_at`](super::ValueEntry::set_at).
    ///
    /// Take it before you read a value from its source. If the value is invalidated after that, even before
    /// it is stored, the stored value is not used.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// let mark = keep.mark();
    /// let read = "the old name"; // from the database
    /// keep.delete(&key).await?; // another task has renamed it meanwhile
    /// keep.entry(key.clone()).set_at(mark, read).await?;
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.engine().fence.capture())
    }
}

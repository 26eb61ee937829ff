//! Which values are stored.

/// Decides whether a value that was made is stored. Implemented by [`Always`] and [`StoredIf`].
#[diagnostic::on_unimplemented(
    message = "the condition does not take a reference to `{T}`",
    note = "write `.condition(|value: &{T}| …)`"
)]
pub trait StoreCondition<T> {
    /// Whether `value` is stored.
    fn permits(&self, value: &T) -> bool;
}

/// Every value is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Always;

/// Only values are stored for which a function returns `true`; see
/// [`ValueEntry::condition`](super::ValueEntry::condition).
#[derive(Clone, Copy)]
pub struct StoredIf<F>(pub(super) F);

impl<T> StoreCondition<T> for Always {
    fn permits(&self, _: &T) -> bool {
        true
    }
}

impl<T, F: Fn(&T) -> bool> StoreCondition<T> for StoredIf<F> {
    fn permits(&self, value: &T) -> bool {
        (self.0)(value)
    }
}

impl<F> std::fmt::Debug for StoredIf<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredIf").finish_non_exhaustive()
    }
}

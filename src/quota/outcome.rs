/// What one quota says about one request. Times are microseconds from the moment of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) admitted: bool,
    /// Quota units left after the decision.
    pub(crate) remaining: u64,
    /// After which the same cost will be admitted if nothing else is used; `None`: never. Zero if
    /// it was admitted.
    pub(crate) retry_after: Option<u64>,
    /// After which `remaining` will have grown; `None` if nothing is used, or it never grows.
    pub(crate) more_after: Option<u64>,
}

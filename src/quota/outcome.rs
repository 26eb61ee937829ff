/// How one quota answers one request. Times are in microseconds from the moment of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaOutcome {
    pub(crate) admitted: bool,
    /// Quota units left after the decision.
    pub(crate) remaining: u64,
    /// When the same cost will be admitted if nothing else is used until then: zero if it was
    /// admitted, `None` if it never will be.
    pub(crate) retry_after: Option<u64>,
    /// When `remaining` will have grown; `None` if nothing is used, or it never grows.
    pub(crate) more_after: Option<u64>,
}

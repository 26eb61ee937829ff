use serde::Deserialize;

/// How use is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algorithm {
    /// Two adjacent windows, the earlier one weighted by how much of it the last window still covers.
    #[default]
    SlidingWindow,
    /// Consecutive windows, each beginning with its first request.
    FixedWindow,
    /// The generic cell rate algorithm (a token bucket without a timer): a steady rate with a burst.
    Gcra,
}

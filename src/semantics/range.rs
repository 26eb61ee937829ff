//! Range requests for stored responses (RFC 9110 section 14).

use http::{
    HeaderMap, StatusCode,
    header::{IF_RANGE, RANGE},
};
use smallvec::SmallVec;

use super::{
    etag,
    list::{self, Members},
    stored_response::StoredResponse,
};

/// Bytes of a representation, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    pub(crate) fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

pub(crate) type Spans = SmallVec<[Span; 1]>;

/// The bytes of a stored response that answer a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All: the request has no range, or the range is ignored.
    Whole,
    /// These, in a 206.
    Spans(Spans),
    /// None, in a 416: the representation has this length.
    Unsatisfiable(u64),
    /// More than the stored part contains.
    Missing,
}

/// A field with more ranges is ignored, as section 14.2 allows: such requests are attacks.
const MAX_RANGES: usize = 16;

/// Selects the bytes of `stored` that answer a GET request.
pub(crate) fn select(request: &HeaderMap, stored: &StoredResponse) -> Selection {
    let ranges = || {
        let line = list::sole_line(request, &RANGE)?;
        let counts = if_range_holds(request, &stored.headers);
        counts.then(|| parse(line.as_bytes()))?
    };
    match stored.part {
        None if stored.status != StatusCode::OK || !request.contains_key(RANGE) => Selection::Whole,
        None => ranges().map_or(Selection::Whole, |ranges| {
            let length = stored.body.len() as u64;
            satisfy(&ranges, Some(length)).unwrap_or(Selection::Whole)
        }),
        Some(part) => ranges()
            .and_then(|ranges| satisfy(&ranges, part.complete))
            .filter(|selection| is_within(selection, part.first, stored.body.len() as u64))
            .unwrap_or(Selection::Missing),
    }
}

/// Whether `If-Range` matches or is absent (RFC 9110 section 13.1.5).
fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    match list::sole_line(request, &IF_RANGE) {
        Some(value) => etag::matches_if_range(value, stored),
        None => !request.contains_key(IF_RANGE),
    }
}

/// Whether a part contains the selection, whose overlapping ranges must not add up to more than the
/// part.
fn is_within(selection: &Selection, first: u64, length: u64) -> bool {
    match selection {
        Selection::Spans(spans) => {
            let lengths = spans.iter().map(|span| span.length());
            let asked = lengths.fold(0, u64::saturating_add);
            let held = |span: &Span| span.first >= first && span.last - first < length;
            asked <= length && spans.iter().all(held)
        }
        Selection::Unsatisfiable(_) => true,
        Selection::Whole | Selection::Missing => false,
    }
}

/// One `range-spec` (section 14.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

/// Parses a set of byte ranges; `None` if it is invalid or has too many: then it is ignored.
fn parse(value: &[u8]) -> Option<SmallVec<[RangeSpec; 2]>> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = SmallVec::new();
    for member in Members::new(set) {
        if specs.len() == MAX_RANGES {
            return None;
        }
        specs.push(RangeSpec::parse(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

impl RangeSpec {
    fn parse(member: &[u8]) -> Option<Self> {
        let dash = member.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&member[..dash], &member[dash + 1..]);
        if first.is_empty() {
            return list::number(last).map(Self::Suffix);
        }
        let first = list::number(first)?;
        let last = match last {
            [] => None,
            digits => Some(list::number(digits)?),
        };
        last.is_none_or(|last| first <= last)
            .then_some(Self::From { first, last })
    }

    fn resolve(self, complete: Option<u64>) -> ResolvedRange {
        let Some(complete) = complete else {
            return match self {
                Self::From {
                    first,
                    last: Some(last),
                } => ResolvedRange::Span(Span { first, last }),
                Self::From { last: None, .. } | Self::Suffix(_) => ResolvedRange::Unknown,
            };
        };
        let span = complete.checked_sub(1).and_then(|end| match self {
            Self::From { first, last } => (first <= end).then(|| Span {
                first,
                last: last.unwrap_or(end).min(end),
            }),
            Self::Suffix(length) => (length > 0).then(|| Span {
                first: complete.saturating_sub(length),
                last: end,
            }),
        });
        span.map_or(ResolvedRange::Beyond, ResolvedRange::Span)
    }
}

/// A `range-spec` applied to a representation.
enum ResolvedRange {
    Span(Span),
    Beyond,
    /// Needs the complete length, which is unknown.
    Unknown,
}

/// Applies ranges to a representation; `None` if they are ignored: they need an unknown length, or overlaps make them larger than
/// the representation.
fn satisfy(specs: &[RangeSpec], complete: Option<u64>) -> Option<Selection> {
    let mut spans = Spans::new();
    let mut total = 0u64;
    for spec in specs {
        match spec.resolve(complete) {
            ResolvedRange::Span(span) => {
                total = total.saturating_add(span.length());
                spans.push(span);
            }
            ResolvedRange::Beyond => {}
            ResolvedRange::Unknown => return None,
        }
    }
    match (spans.is_empty(), complete) {
        // An empty representation has no satisfiable range; answer 200.
        (true, Some(0)) => None,
        (true, complete) => complete.map(Selection::Unsatisfiable),
        (false, Some(complete)) if total > complete => None,
        (false, None) if spans.len() > 1 => None,
        (false, _) => Some(Selection::Spans(spans)),
    }
}

#[cfg(test)]
mod tests;

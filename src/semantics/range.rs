//! Range requests answered from what is stored (RFC 9110 section 14).

use http::{
    HeaderMap, StatusCode,
    header::{IF_RANGE, RANGE},
};
use smallvec::SmallVec;

use super::{etag, list::Members, stored::StoredResponse};

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

/// What of a stored response answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it: no range is asked for, or what is asked is not to be heeded.
    Whole,
    /// 206 with these.
    Spans(Spans),
    /// 416: the representation is that long.
    Unsatisfiable(u64),
    /// A stored part does not suffice.
    Missing,
}

/// More ranges than that are ignored, as section 14.2 allows: they serve no honest purpose.
const MAX_RANGES: usize = 16;

/// What of `stored` answers a GET request.
pub(crate) fn select(request: &HeaderMap, stored: &StoredResponse) -> Selection {
    let ranges = || {
        let mut lines = request.get_all(RANGE).iter();
        let line = lines.next()?;
        let heeded = lines.next().is_none() && if_range_holds(request, &stored.headers);
        heeded.then(|| parse(line.as_bytes()))?
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

/// RFC 9110 section 13.1.5.
fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(value), None) => etag::matches_if_range(value, stored),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a part has all of it, and no overlaps ask for more than the part holds.
fn is_within(selection: &Selection, first: u64, length: u64) -> bool {
    match selection {
        Selection::Spans(spans) => {
            let asked = spans
                .iter()
                .fold(0u64, |sum, span| sum.saturating_add(span.length()));
            let held = |span: &Span| span.first >= first && span.last - first < length;
            asked <= length && spans.iter().all(held)
        }
        Selection::Unsatisfiable(_) => true,
        Selection::Whole | Selection::Missing => false,
    }
}

/// One `range-spec` (section 14.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

/// `None` for what is no set of byte ranges, or too large a one: to be ignored.
fn parse(value: &[u8]) -> Option<SmallVec<[Spec; 2]>> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = SmallVec::new();
    for member in Members::new(set) {
        if specs.len() == MAX_RANGES {
            return None;
        }
        specs.push(Spec::parse(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

impl Spec {
    fn parse(member: &[u8]) -> Option<Self> {
        let dash = member.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&member[..dash], &member[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(position(last)?));
        }
        let first = position(first)?;
        let last = match last {
            [] => None,
            digits => Some(position(digits)?),
        };
        last.is_none_or(|last| first <= last)
            .then_some(Self::From { first, last })
    }

    fn resolve(self, complete: Option<u64>) -> Resolved {
        let Some(complete) = complete else {
            return match self {
                Self::From {
                    first,
                    last: Some(last),
                } => Resolved::Span(Span { first, last }),
                Self::From { last: None, .. } | Self::Suffix(_) => Resolved::Unknown,
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
        span.map_or(Resolved::Beyond, Resolved::Span)
    }
}

/// What a `range-spec` means for a representation.
enum Resolved {
    Span(Span),
    Beyond,
    /// It depends on the complete length, which is not known.
    Unknown,
}

/// Digits; more than a number holds are beyond every end.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        Some(sum.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// `None`: to be ignored, because it cannot be told, or asks for more than there is by overlaps.
fn satisfy(specs: &[Spec], complete: Option<u64>) -> Option<Selection> {
    let mut spans = Spans::new();
    let mut total = 0u64;
    for spec in specs {
        match spec.resolve(complete) {
            Resolved::Span(span) => {
                total = total.saturating_add(span.length());
                spans.push(span);
            }
            Resolved::Beyond => {}
            Resolved::Unknown => return None,
        }
    }
    match (spans.is_empty(), complete) {
        // Of nothing, nothing can be cut; a 200 says it as well.
        (true, Some(0)) => None,
        (true, complete) => complete.map(Selection::Unsatisfiable),
        (false, Some(complete)) if total > complete => None,
        (false, None) if spans.len() > 1 => None,
        (false, _) => Some(Selection::Spans(spans)),
    }
}

#[cfg(test)]
mod tests;

mod exemptions;
mod limit_path;

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc, time::Duration};

use http::{HeaderName, Method, StatusCode};

use self::{exemptions::Exemptions, limit_path::LimitPath};
use super::fields;
use crate::{
    key::PathReadings,
    quota::{Algorithm, MAX_LIMIT, MAX_WINDOW, Quota, QuotaPolicy},
    semantics::invalidation,
    table::{
        limit::{By, Cost, Limit, OnError},
        problem::FieldProblem,
    },
};

/// A compiled [`Limit`].
#[derive(Debug)]
pub(crate) struct LimitPlan {
    pub(crate) name: Arc<str>,
    pub(crate) by: Box<[SubjectPart]>,
    /// Applies to users without a plan, or on a plan that the limit does not name.
    policy: Arc<QuotaPolicy>,
    pub(crate) cost: CostPlan,
    pub(crate) on_error: OnError,
    pub(crate) shadow: bool,
    pub(crate) exempt: Exemptions,
    plans: HashMap<Box<str>, Arc<QuotaPolicy>>,
    path: Option<LimitPath>,
    methods: Box<[Method]>,
    /// Response statuses that give the cost back.
    refund_on: Box<[RangeInclusive<u16>]>,
}

impl LimitPlan {
    /// Whether the limit applies to a request of this method and path.
    #[inline]
    pub(crate) fn applies(&self, method: &Method, paths: &PathReadings<'_>) -> bool {
        self.counts_method(method)
            && self
                .path
                .as_ref()
                .is_none_or(|pattern| pattern.matches(paths))
            && !self.exempt.has_path(paths)
    }

    #[inline]
    fn counts_method(&self, method: &Method) -> bool {
        let counts = |method| invalidation::contains_method(&self.methods, method);
        // Servers answer HEAD with the handler of GET.
        let is_head = || method.as_str().eq_ignore_ascii_case("HEAD");
        self.methods.is_empty() || counts(method) || is_head() && counts(&Method::GET)
    }

    /// The limit's path as in the table.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_ref().map(|path| &*path.text)
    }

    /// Whether the limit's path, if it has one, matches this reading of a request's path.
    pub(crate) fn matches_reading(&self, path: &str) -> bool {
        let pattern = self.path.as_ref();
        pattern.is_none_or(|pattern| pattern.matches_reading(path))
    }

    /// Whether the quota depends on the user's plan.
    pub(crate) fn has_plans(&self) -> bool {
        !self.plans.is_empty()
    }

    /// The quota policy of a user on this plan.
    pub(crate) fn policy(&self, plan: Option<&str>) -> &Arc<QuotaPolicy> {
        plan.and_then(|name| self.plans.get(name))
            .unwrap_or(&self.policy)
    }

    /// Whether a response of this status gives the cost back.
    pub(crate) fn refunds(&self, status: StatusCode) -> bool {
        let mut ranges = self.refund_on.iter();
        ranges.any(|range| range.contains(&status.as_u16()))
    }

    pub(crate) fn has_refunds(&self) -> bool {
        !self.refund_on.is_empty()
    }

    pub(super) fn compile(limit: &Limit) -> Result<Self, FieldProblem> {
        check(limit)?;
        Ok(Self {
            name: limit.name.as_str().into(),
            by: subject_parts(&limit.by).map_err(|m| ("by", m))?,
            policy: policy(limit, limit.limit)?,
            cost: cost(&limit.cost).map_err(|m| ("cost", m))?,
            on_error: limit.on_error,
            shadow: limit.shadow,
            exempt: Exemptions::compile(&limit.exempt).map_err(|m| ("exempt", m))?,
            plans: limit
                .plans
                .iter()
                .map(|(name, n)| Ok((name.as_str().into(), policy(limit, *n)?)))
                .collect::<Result<_, _>>()?,
            path: limit
                .path
                .as_deref()
                .map(LimitPath::compile)
                .transpose()
                .map_err(|m| ("path", m))?,
            methods: fields::methods(&limit.methods).map_err(|m| ("methods", m))?,
            refund_on: limit
                .refund_on
                .iter()
                .map(|text| statuses(text))
                .collect::<Result<_, _>>()
                .map_err(|m| ("refund_on", m))?,
        })
    }
}

/// A part of the subject that requests are counted by: a compiled [`By`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectPart {
    User,
    Ip,
    Route,
    Header(HeaderName),
}

/// A compiled [`Cost`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CostPlan {
    Fixed(u64),
    Header(HeaderName),
}

fn check(limit: &Limit) -> Result<(), FieldProblem> {
    let (name, window) = (&limit.name, limit.window);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name_byte) {
        let error = format!(
            "{name:?} is not a valid name; write letters, digits, `-`, `.` and `_`, at most 64"
        );
        return Err(("name", error));
    }
    if window.is_zero() || window > Duration::from_micros(MAX_WINDOW) {
        let error = format!(
            "a window of {window:?} is out of range; write more than 0 and at most \"366d\""
        );
        return Err(("window", error));
    }
    check_numbers(limit)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

fn check_numbers(limit: &Limit) -> Result<(), FieldProblem> {
    let cost = match limit.cost {
        Cost::Fixed(cost) => Some(cost),
        Cost::Header(_) => None,
    };
    let numbers = [
        ("limit", Some(limit.limit)),
        ("burst", limit.burst),
        ("lease", limit.lease),
        ("cost", cost),
    ];
    let plans = limit.plans.values().map(|n| ("plans", Some(*n)));
    let mut numbers = numbers.into_iter().chain(plans);
    if let Some((field, _)) = numbers.find(|(_, n)| n.is_some_and(|n| n > MAX_LIMIT)) {
        let error = format!("more than {MAX_LIMIT} cannot be counted exactly; reduce it");
        return Err((field, error));
    }
    let (field, fault) = match (limit.burst, limit.lease) {
        (Some(0), _) => ("burst", "a burst of 0 admits nothing"),
        (_, Some(0)) => ("lease", "a lease of 0 has no effect"),
        _ => return Ok(()),
    };
    Err((field, format!("{fault}; write 1 or more, or leave it out")))
}

fn policy(limit: &Limit, units: u64) -> Result<Arc<QuotaPolicy>, FieldProblem> {
    let quota = Quota::new(units, limit.window).map_err(|error| ("window", error.to_string()))?;
    let quota = quota.counted_by(limit.algorithm);
    let quota = match limit.burst {
        Some(burst) if limit.algorithm == Algorithm::Gcra => quota.burst(burst),
        _ => quota,
    };
    QuotaPolicy::new(&limit.name, quota).map_err(|error| ("name", error.to_string()))
}

fn subject_parts(by: &[By]) -> Result<Box<[SubjectPart]>, String> {
    if by.is_empty() {
        return Err(
            "the list is empty; write \"user\", \"ip\", \"route\" or \"header:NAME\"".to_owned(),
        );
    }
    by.iter()
        .map(|by| match by {
            By::User => Ok(SubjectPart::User),
            By::Ip => Ok(SubjectPart::Ip),
            By::Route => Ok(SubjectPart::Route),
            By::Header(name) => fields::header(name).map(SubjectPart::Header),
        })
        .collect()
}

fn cost(cost: &Cost) -> Result<CostPlan, String> {
    match cost {
        Cost::Fixed(n) => Ok(CostPlan::Fixed(*n)),
        Cost::Header(name) => fields::header(name).map(CostPlan::Header),
    }
}

/// Parses `404`, or `5xx` for a class of statuses.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
    match (class, text.parse().ok()) {
        (Some(class @ 1..=5), _) => Ok(class * 100..=class * 100 + 99),
        (_, Some(code @ 100..=599)) => Ok(code..=code),
        _ => Err(format!(
            "{text:?} is not a status; write \"5xx\" or \"404\""
        )),
    }
}

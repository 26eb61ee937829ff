use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use super::{fields, path};
use crate::{
    quota::{Policy, Quota},
    table::{Algorithm, By, Cost, Limit, OnError},
};

/// A limit, compiled.
#[derive(Debug)]
pub(crate) struct LimitPlan {
    pub(crate) name: Arc<str>,
    pub(crate) by: Box<[Subject]>,
    /// Of users on no plan, or one that the limit does not name.
    policy: Arc<Policy>,
    pub(crate) cost: CostPlan,
    pub(crate) on_error: OnError,
    pub(crate) shadow: bool,
    pub(crate) exempt: Exempt,
    plans: HashMap<Box<str>, Arc<Policy>>,
    path: Option<Path>,
    methods: Box<[Method]>,
    refund_on: Box<[Statuses]>,
}

/// What requests are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    User,
    Ip,
    Route,
    Header(HeaderName),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CostPlan {
    Fixed(u64),
    Header(HeaderName),
}

/// Who is not counted.
#[derive(Debug, Default)]
pub(crate) struct Exempt {
    pub(crate) users: Box<[Box<str>]>,
    pub(crate) nets: Box<[IpNet]>,
    paths: matchit::Router<()>,
    any_path: bool,
}

#[derive(Debug)]
struct Path {
    /// What stands before the first parameter: most other paths are told by it.
    start: Box<str>,
    router: matchit::Router<()>,
}

impl Path {
    #[inline]
    fn matches(&self, path: &str) -> bool {
        path.starts_with(&*self.start) && self.router.at(path).is_ok()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statuses {
    /// `5xx`
    Class(u16),
    /// `404`
    One(u16),
}

impl LimitPlan {
    /// Whether it counts a request of this method and path.
    #[inline]
    pub(crate) fn applies(&self, method: &Method, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self.path.as_ref().is_none_or(|own| own.matches(path))
            && !(self.exempt.any_path && self.exempt.paths.at(path).is_ok())
    }

    /// Whether it depends on a user's plan.
    pub(crate) fn has_plans(&self) -> bool {
        !self.plans.is_empty()
    }

    /// The policy of a user on this plan.
    pub(crate) fn policy(&self, plan: Option<&str>) -> &Arc<Policy> {
        plan.and_then(|name| self.plans.get(name))
            .unwrap_or(&self.policy)
    }

    /// Whether an answer of this status counts for nothing.
    pub(crate) fn refunds(&self, status: StatusCode) -> bool {
        self.refund_on.iter().any(|statuses| match statuses {
            Statuses::Class(class) => status.as_u16() / 100 == *class,
            Statuses::One(one) => status.as_u16() == *one,
        })
    }

    pub(crate) fn has_refunds(&self) -> bool {
        !self.refund_on.is_empty()
    }

    /// Compiles; an error names the field.
    pub(super) fn compile(limit: &Limit) -> Result<Self, (&'static str, String)> {
        check_numbers(limit)?;
        Ok(Self {
            name: limit.name.as_str().into(),
            by: subjects(&limit.by).map_err(|m| ("by", m))?,
            policy: policy(limit, limit.limit)?,
            cost: cost(&limit.cost).map_err(|m| ("cost", m))?,
            on_error: limit.on_error,
            shadow: limit.shadow,
            exempt: exempt(&limit.exempt).map_err(|m| ("exempt", m))?,
            plans: limit
                .plans
                .iter()
                .map(|(name, n)| Ok((name.as_str().into(), policy(limit, *n)?)))
                .collect::<Result<_, _>>()?,
            path: limit
                .path
                .as_deref()
                .map(one_path)
                .transpose()
                .map_err(|m| ("path", m))?,
            methods: fields::methods(&limit.methods).map_err(|m| ("methods", m))?,
            refund_on: statuses(&limit.refund_on).map_err(|m| ("refund_on", m))?,
        })
    }
}

fn check_numbers(limit: &Limit) -> Result<(), (&'static str, String)> {
    if limit.name.is_empty() || limit.name.len() > 64 || !limit.name.bytes().all(is_name_byte) {
        return Err((
            "name",
            format!(
                "{:?} is no name for a limit; write letters, digits, `-`, `.` and `_`, at most 64",
                limit.name
            ),
        ));
    }
    if limit.window.is_zero() || limit.window > LONGEST {
        return Err((
            "window",
            format!(
                "a window of {:?} counts nothing; write more than 0 and at most \"366d\"",
                limit.window
            ),
        ));
    }
    let numbers = [
        ("limit", Some(limit.limit)),
        ("burst", limit.burst),
        ("lease", limit.lease),
    ];
    let plans = limit.plans.values().map(|n| ("plans", Some(*n)));
    for (field, number) in numbers.into_iter().chain(plans) {
        if number.is_some_and(|n| n > MOST) {
            return Err((
                field,
                format!("more than {MOST} cannot be counted exactly; write less"),
            ));
        }
    }
    match (limit.burst, limit.lease, &limit.cost) {
        (Some(0), _, _) => Err((
            "burst",
            "a burst of 0 admits nothing; write 1 or more, or leave it out".to_owned(),
        )),
        (_, Some(0), _) => Err((
            "lease",
            "a lease of 0 is none; write 1 or more, or leave it out".to_owned(),
        )),
        (_, _, Cost::Fixed(n)) if *n > MOST => Err((
            "cost",
            format!("more than {MOST} cannot be counted exactly; write less"),
        )),
        _ => Ok(()),
    }
}

fn policy(limit: &Limit, units: u64) -> Result<Arc<Policy>, (&'static str, String)> {
    let quota = Quota::new(units, limit.window).map_err(|error| ("window", error.to_string()))?;
    let quota = quota.counted_by(limit.algorithm);
    let quota = match limit.burst {
        Some(burst) if limit.algorithm == Algorithm::Gcra => quota.burst(burst),
        _ => quota,
    };
    Ok(Policy::new(&limit.name, quota))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

fn subjects(by: &[By]) -> Result<Box<[Subject]>, String> {
    if by.is_empty() {
        return Err(
            "it counts by nothing; write \"user\", \"ip\", \"route\" or \"header:NAME\"".to_owned(),
        );
    }
    by.iter()
        .map(|by| match by {
            By::User => Ok(Subject::User),
            By::Ip => Ok(Subject::Ip),
            By::Route => Ok(Subject::Route),
            By::Header(name) => fields::header(name).map(Subject::Header),
        })
        .collect()
}

fn cost(cost: &Cost) -> Result<CostPlan, String> {
    match cost {
        Cost::Fixed(n) => Ok(CostPlan::Fixed(*n)),
        Cost::Header(name) => fields::header(name).map(CostPlan::Header),
    }
}

fn statuses(list: &[String]) -> Result<Box<[Statuses]>, String> {
    list.iter()
        .map(|text| {
            let class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
            let one = text.parse().ok();
            match (class, one) {
                (Some(class @ 1..=5), _) => Ok(Statuses::Class(class)),
                (_, Some(status @ 100..=599)) => Ok(Statuses::One(status)),
                _ => Err(format!("{text:?} is no status; write \"5xx\" or \"404\"")),
            }
        })
        .collect()
}

fn exempt(list: &[String]) -> Result<Exempt, String> {
    let mut users: Vec<Box<str>> = Vec::new();
    let mut nets = Vec::new();
    let mut exempt = Exempt::default();
    for text in list {
        match text.split_once(':') {
            Some(("user", id)) if !id.is_empty() => users.push(id.into()),
            Some(("ip", net)) => nets.push(fields::net(net)?),
            Some(("path", of)) => {
                insert_path(of, &mut exempt.paths)?;
                exempt.any_path = true;
            }
            _ => {
                return Err(format!(
                    "{text:?} is nobody to exempt; write \"user:admin\", \"ip:10.0.0.0/8\" or \"path:/healthz\""
                ));
            }
        }
    }
    Ok(Exempt {
        users: users.into(),
        nets: nets.into(),
        ..exempt
    })
}

fn one_path(path: &str) -> Result<Path, String> {
    let mut router = matchit::Router::new();
    insert_path(path, &mut router)?;
    let start = path.split(['{', '}']).next().unwrap_or_default();
    Ok(Path {
        start: start.into(),
        router,
    })
}

fn insert_path(path: &str, router: &mut matchit::Router<()>) -> Result<(), String> {
    let shape = path::PathPattern::parse(path)?;
    router
        .insert(shape.canonical, ())
        .map_err(|error| path::refusal(path, &error))
}

/// The longest window.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The largest number that Lua's doubles and integer microseconds count exactly.
const MOST: u64 = 1_000_000_000_000;

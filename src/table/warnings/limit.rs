use crate::{
    quota::Algorithm,
    table::{limit::Limit, problem::FieldProblem},
};

/// Checks one limit; `earlier` are the limits before it in the table.
pub(super) fn problems(limit: &Limit, earlier: &[Limit]) -> Vec<FieldProblem> {
    let has_name = |other: &Limit| other.name == limit.name;
    let checks = [
        (
            earlier.iter().any(has_name),
            "name",
            "another limit has this name, so they share counters; give them different names",
        ),
        (
            limit.limit == 0,
            "limit",
            "it refuses every request; write 1 or more, unless that is intended",
        ),
        (
            limit.burst.is_some() && limit.algorithm != Algorithm::Gcra,
            "burst",
            "only algorithm = \"gcra\" has a burst; write that, or leave it out",
        ),
        (
            limit.lease.is_some(),
            "lease",
            "it has no effect yet: every decision asks the store; leave it out",
        ),
    ];
    let found = checks.into_iter().filter(|(applies, ..)| *applies);
    found
        .map(|(_, field, message)| (field, message.to_owned()))
        .collect()
}

//! Compiles the settings of values that code caches.

use std::time::Duration;

use super::{entities::Entities, globals::is_entity};
use crate::{
    semantics::refresh_policy::{RefreshPolicy, ValuePolicy},
    table::{problem::FieldProblem, quantities, ttl, value_settings::ValueSettings},
};

/// Adds the entity of `value` and its settings to `entities`; `max` is the table's longest TTL.
pub(super) fn add(
    value: &ValueSettings,
    entities: &mut Entities,
    max: Duration,
) -> Result<(), FieldProblem> {
    let entity = entity(&value.key).map_err(|message| ("key", message))?;
    if let Some(own) = value.ttl {
        ttl::check(own, max).map_err(|message| ("ttl", message))?;
    }
    let ttl = value.ttl.unwrap_or_else(|| entities.ttl(&entity));
    check_refresh_ahead(value, ttl.min(max))?;
    check_plain(value)?;
    let named = entities.settings(&entity);
    if named.plain.is_some() {
        let message = format!("another [[value]] has the entity {entity:?} already; merge the two");
        return Err(("key", message));
    }
    (named.value_ttl, named.plain) = (value.ttl, Some(value.plain));
    named.policy = Some(policy(value));
    Ok(())
}

fn policy(value: &ValueSettings) -> ValuePolicy {
    ValuePolicy {
        refresh: RefreshPolicy {
            ahead: value.refresh_ahead,
            early: value.early_refresh,
        },
        stale_while_revalidate: value.stale_while_revalidate.unwrap_or_default(),
        stale_if_error: value.stale_if_error.unwrap_or_default(),
    }
}

fn check_refresh_ahead(value: &ValueSettings, ttl: Duration) -> Result<(), FieldProblem> {
    match value.refresh_ahead {
        Some(ahead) if ahead >= ttl => Err((
            "refresh_ahead",
            format!(
                "{} must be shorter than the TTL of {}; write less, or give the value a longer `ttl`",
                quantities::text(ahead),
                quantities::text(ttl)
            ),
        )),
        _ => Ok(()),
    }
}

/// Rejects what bare JSON cannot have: it expires at its TTL, and nothing tells how it was made.
fn check_plain(value: &ValueSettings) -> Result<(), FieldProblem> {
    let field = match value {
        _ if !value.plain => return Ok(()),
        _ if value.early_refresh => "early_refresh",
        _ if value.stale_while_revalidate.is_some() => "stale_while_revalidate",
        _ if value.stale_if_error.is_some() => "stale_if_error",
        _ => return Ok(()),
    };
    let message = "bare JSON expires at its TTL and does not tell how it was made; leave it out, write `refresh_ahead` instead, or leave out `plain`";
    Err((field, message.to_owned()))
}

/// The entity of a value's keys: the literal segments of `pattern`.
pub(in crate::table) fn entity(pattern: &str) -> Result<String, String> {
    let literal: Vec<_> = pattern.split(':').filter(|s| *s != "*").collect();
    let entity = literal.join(":");
    if is_entity(&entity) && !pattern.starts_with('*') && literal.first() != Some(&"url") {
        return Ok(entity);
    }
    Err(format!(
        "{pattern:?} does not match the keys of an entity; write literal segments, and `*` in place of identifiers, as \"config:*\" or \"agent:*:status\""
    ))
}

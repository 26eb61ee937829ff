//! Compiles the settings of values that code caches.

use std::time::Duration;

use super::{entities::Entities, globals::is_entity};
use crate::table::{problem::FieldProblem, ttl, value_settings::ValueSettings};

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
    let named = entities.settings(&entity);
    if named.plain.is_some() {
        let message = format!("another [[value]] has the entity {entity:?} already; merge the two");
        return Err(("key", message));
    }
    (named.value_ttl, named.plain) = (value.ttl, Some(value.plain));
    Ok(())
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

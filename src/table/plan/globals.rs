//! What the table says beside routes and limits.

use super::{entities::Entities, fields};
use crate::{
    identity::IdentityPlan,
    key,
    table::{
        Identity,
        config::Fields,
        problem::{At, Problem},
        unit::NEVER,
    },
};

/// Reports namespace, TTLs, store and entity names that cannot be meant.
pub(super) fn check(fields: &Fields, problems: &mut Vec<Problem>) {
    let ttl = &fields.ttl;
    let mut report = |at, message: &str| problems.push(Problem::new(at, message));
    let section = |section, name: &str| At::Section(section, name.to_owned());
    if let Err(message) = check_namespace(&fields.namespace) {
        report(At::Top("namespace"), &message);
    }
    if ttl.max.is_zero() || ttl.max == NEVER {
        report(
            section("ttl", "max"),
            "it caps every lifetime; write \"30d\", or another that ends",
        );
    }
    if !(0.0..=1.0).contains(&ttl.jitter) {
        report(
            section("ttl", "jitter"),
            "it is a share of the TTL; write \"10%\", or a number from 0 to 1",
        );
    }
    if fields.store.deadline.is_zero() {
        report(
            section("store", "deadline"),
            "the store could never answer; write \"50ms\"",
        );
    }
    if fields.store.max_lag.is_zero() {
        report(
            section("store", "max_lag"),
            "nothing stored could ever be used; write \"2s\"",
        );
    }
    for (list, name) in entity_names(fields) {
        if let Err(message) = check_entity(name) {
            report(section(list, name), &message);
        }
    }
}

pub(super) fn entities(fields: &Fields) -> Entities {
    let mut entities = Entities::new(fields.ttl.default);
    for (name, ttl) in &fields.ttl.entities {
        entities.set_ttl(name, *ttl);
    }
    for (name, version) in &fields.version {
        entities.set_version(name, *version);
    }
    entities
}

/// All entities that sections name, with their sections.
fn entity_names(fields: &Fields) -> impl Iterator<Item = (&'static str, &str)> {
    let ttl = fields
        .ttl
        .entities
        .keys()
        .map(|name| ("ttl", name.as_str()));
    let version = fields.version.keys().map(|name| ("version", name.as_str()));
    let plain = fields
        .values
        .plain
        .iter()
        .map(|name| ("values", name.as_str()));
    ttl.chain(version).chain(plain)
}

fn check_entity(name: &str) -> Result<(), String> {
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(key::is_literal);
    if name.len() <= 256 && name.split(':').all(is_segment) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no entity; write literal segments joined by `:`, as \"agent:status\""
    ))
}

fn check_namespace(namespace: &str) -> Result<(), String> {
    if namespace.len() <= 128 && namespace.bytes().all(key::is_literal) {
        return Ok(());
    }
    Err(format!(
        "{namespace:?} is no namespace; write letters, digits, `-`, `.`, `_` and `:`, at most 128, as \"shop:\""
    ))
}

pub(super) fn identity(identity: &Identity, problems: &mut Vec<Problem>) -> IdentityPlan {
    let mut report = |name: &str, message: String| {
        problems.push(Problem::new(
            At::Section("identity", name.to_owned()),
            message,
        ));
    };
    let mut header = |name: &str, value: &Option<String>| {
        let parsed = value.as_deref().map(fields::header).transpose();
        parsed.unwrap_or_else(|message| {
            report(name, message);
            None
        })
    };
    let (user, ip) = (
        header("header", &identity.header),
        header("ip_header", &identity.ip_header),
    );
    let mut nets = Vec::new();
    for text in &identity.trusted_proxies {
        match fields::net(text) {
            Ok(net) => nets.push(net),
            Err(message) => report("trusted_proxies", message),
        }
    }
    if identity.ipv6_prefix == 0 || identity.ipv6_prefix > 128 {
        report(
            "ipv6_prefix",
            "it counts bits; write 64, or another number from 1 to 128".to_owned(),
        );
    }
    IdentityPlan {
        header: user,
        unverified: identity.unverified,
        trusted_proxies: nets.into(),
        ip_header: ip,
        ipv6_prefix: identity.ipv6_prefix.clamp(1, 128),
    }
}

//! Checks and compiles all settings except routes and limits.

use super::{entities::Entities, fields, hosts::HostSet};
use crate::{
    identity::{CredentialNames, IdentityPlan},
    key::encode::is_literal,
    table::{
        problem::{Location, TableProblem},
        quantities::NEVER,
        section::Identity,
        settings::Settings,
        ttl,
    },
};

/// Reports an invalid namespace, TTL, time limit or entity name.
pub(super) fn check(settings: &Settings, problems: &mut Vec<TableProblem>) {
    let ttl = &settings.ttl;
    let mut report = |at, message: &str| problems.push(TableProblem::new(at, message));
    let section = |section, name: &str| Location::Section(section, name.to_owned());
    if let Err(message) = check_namespace(&settings.namespace) {
        report(Location::Top("namespace"), &message);
    }
    if ttl.max.is_zero() || ttl.max == NEVER {
        report(
            section("ttl", "max"),
            "must be finite and greater than 0; write \"30d\"",
        );
    }
    if !(0.0..=1.0).contains(&ttl.jitter) {
        report(
            section("ttl", "jitter"),
            "must be between 0 % and 100 %; write \"10%\" or 0.1",
        );
    }
    if settings.local.fill_buffer == 0 {
        report(
            section("local", "fill_buffer"),
            "must be greater than 0; write \"64MiB\"",
        );
    }
    if settings.store.deadline.is_zero() {
        report(
            section("store", "deadline"),
            "must be greater than 0; write \"50ms\"",
        );
    }
    if settings.store.max_lag.is_zero() {
        report(
            section("store", "max_lag"),
            "must be greater than 0; write \"2s\"",
        );
    }
    if settings.store.journal_size < MIN_JOURNAL_SIZE {
        report(
            section("store", "journal_size"),
            "must be at least 1 MiB; write \"16MiB\"",
        );
    }
    let entities = ttl.entities.iter().map(|(name, ttl)| (&**name, *ttl));
    let default = ttl.default.map(|ttl| ("default", ttl));
    for (name, lifetime) in default.into_iter().chain(entities) {
        if let Err(message) = ttl::check(lifetime, ttl.max) {
            report(section("ttl", name), &message);
        }
    }
    for (list, name) in entity_names(settings) {
        if let Err(message) = check_entity(name) {
            report(section(list, name), &message);
        }
    }
}

pub(super) fn entities(settings: &Settings) -> Entities {
    let mut entities = Entities::new(settings.ttl.default_ttl());
    for (name, ttl) in &settings.ttl.entities {
        entities.settings(name).ttl = Some(*ttl);
    }
    for (name, version) in &settings.version {
        entities.settings(name).version = Some(*version);
    }
    entities
}

/// Less does not hold the keys of paths without a route and a few records of the largest size.
const MIN_JOURNAL_SIZE: u64 = 1 << 20;

/// The authorities that routes serve if they name none.
pub(super) fn hosts(settings: &Settings, problems: &mut Vec<TableProblem>) -> HostSet {
    HostSet::parse(&settings.host).unwrap_or_else(|message| {
        problems.push(TableProblem::new(Location::Top("host"), message));
        HostSet::default()
    })
}

/// All entities that sections name, each with its section.
fn entity_names(settings: &Settings) -> impl Iterator<Item = (&'static str, &String)> {
    let ttl = settings.ttl.entities.keys().map(|name| ("ttl", name));
    let version = settings.version.keys().map(|name| ("version", name));
    ttl.chain(version)
}

/// Whether a name is an entity: literal segments joined by `:`.
pub(super) fn is_entity(name: &str) -> bool {
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_literal);
    name.len() <= 256 && name.split(':').all(is_segment)
}

fn check_entity(name: &str) -> Result<(), String> {
    if is_entity(name) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not an entity; write literal segments joined by `:`, as \"agent:status\""
    ))
}

fn check_namespace(namespace: &str) -> Result<(), String> {
    if namespace.len() <= 128 && namespace.bytes().all(is_literal) {
        return Ok(());
    }
    Err(format!(
        "{namespace:?} is not a namespace; write letters, digits, `-`, `.`, `_` and `:`, at most 128, as \"shop:\""
    ))
}

pub(super) fn identity(identity: &Identity, problems: &mut Vec<TableProblem>) -> IdentityPlan {
    let mut report = |name: &str, message: String| {
        problems.push(TableProblem::new(
            Location::Section("identity", name.to_owned()),
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
    if !identity.trusted_proxies.is_empty() && identity.ip_header.is_none() {
        report("trusted_proxies", NO_IP_HEADER.to_owned());
    }
    let credentials = CredentialNames::with(&identity.credentials);
    let credentials = credentials.unwrap_or_else(|message| {
        report("credentials", message);
        CredentialNames::default()
    });
    if identity.ipv6_prefix == 0 || identity.ipv6_prefix > 128 {
        report(
            "ipv6_prefix",
            "must be between 1 and 128 bits; write 64".to_owned(),
        );
    }
    IdentityPlan {
        header: user,
        credentials,
        unverified: identity.unverified,
        trusted_proxies: nets.into(),
        ip_header: ip,
        ipv6_prefix: identity.ipv6_prefix.clamp(1, 128),
    }
}

/// Another field than the one that the proxies write contains what the client sent.
const NO_IP_HEADER: &str = "needs the field in which these proxies write the client's address; write \
    ip_header = \"x-forwarded-for\" (nginx, HAProxy, Envoy, Traefik, load balancers of AWS, Google and Azure), \
    \"forwarded\" (RFC 7239), \"x-real-ip\" (nginx), \"cf-connecting-ip\" (Cloudflare), \
    \"true-client-ip\" (Akamai), \"fastly-client-ip\" (Fastly), \"fly-client-ip\" (Fly.io) or the one that yours write";

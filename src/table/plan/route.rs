use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use super::{
    render::{Bypass, Values},
    router::Params,
    template::Template,
};
use crate::{
    key::{
        Inputs, KeyBuf,
        encode::{self, KeyBytes},
        pattern,
        purge::PurgeTarget,
        push_url,
        query::QueryFilter,
    },
    semantics::{
        invalidation,
        policy::{self, Policy},
    },
    table::{Grpc, RequestDirectives, Scope, Through, Write},
};

/// A route, compiled: all its settings, with defaults and TTL resolved.
#[derive(Debug)]
pub(crate) struct RoutePlan {
    /// Its number among the table's routes.
    pub(crate) id: usize,
    /// As in the table.
    pub(crate) path: Box<str>,
    /// The literal segments of its key; empty without a key.
    pub(crate) entity: Arc<str>,
    /// What `[version]` says of the entity; 0 is none.
    pub(crate) version: u64,
    pub(crate) scope: Option<Scope>,
    /// The table's TTL for its responses, capped by `max`.
    pub(crate) ttl: Duration,
    pub(crate) override_freshness: bool,
    pub(crate) refresh_ahead: Option<Duration>,
    pub(crate) early_refresh: bool,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) negative: Box<[(StatusCode, Duration)]>,
    /// Lower case, without default ports.
    pub(crate) hosts: Box<[Box<str>]>,
    pub(crate) vary: Box<[HeaderName]>,
    pub(crate) strip: Box<[HeaderName]>,
    /// In bytes.
    pub(crate) max_body: u64,
    pub(crate) safe_methods: Box<[Method]>,
    pub(crate) request_directives: RequestDirectives,
    pub(crate) before: bool,
    pub(crate) settle: Option<Duration>,
    pub(crate) write: Write,
    pub(crate) through: Through,
    pub(crate) grpc: Option<Grpc>,
    /// Whether the key holds a hash of the body.
    pub(crate) needs_body: bool,
    /// Whether key or tags name the user.
    pub(crate) key_names_user: bool,
    /// Whether the request's host decides its key, or whether the route serves it.
    pub(crate) key_names_host: bool,
    /// The parameters that are a variation.
    pub(super) query: QueryFilter,
    /// The parameters that `{#query}` hashes.
    pub(super) query_in_key: QueryFilter,
    pub(super) key: Option<Template>,
    pub(super) tags: Box<[Template]>,
    pub(super) invalidates: Box<[Template]>,
}

impl RoutePlan {
    #[cfg(test)]
    /// How long an answer of this status is stored, if the table names it.
    pub(crate) fn negative(&self, status: StatusCode) -> Option<Duration> {
        self.negative
            .iter()
            .find(|(s, _)| *s == status)
            .map(|(_, time)| *time)
    }

    /// Whether a method changes nothing here (RFC 9110 section 9.2.1, and what the table adds).
    #[inline]
    pub(crate) fn is_safe(&self, method: &Method) -> bool {
        match self.grpc {
            Some(Grpc::Read) => true,
            Some(Grpc::Write) => false,
            // Most requests are, and are known by one comparison.
            None => {
                method == Method::GET
                    || invalidation::is_safe(method)
                    || self.safe_methods.contains(method)
            }
        }
    }

    /// Whether only an `InvalidateLayer` does what is said of its writes.
    pub(crate) fn needs_invalidate_layer(&self) -> bool {
        !self.invalidates.is_empty()
            || self.before
            || self.settle.is_some()
            || self.write == Write::Through
    }

    pub(crate) fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The table's word on the responses, for RFC 9111's rules.
    pub(crate) fn policy(&self, max: Duration) -> Policy<'_> {
        Policy {
            scope: self.sharing(),
            ttl: self.key.is_some().then_some(self.ttl),
            override_: self.override_freshness,
            negative: &self.negative,
            max,
            strip: &self.strip,
            stale_while_revalidate: self.stale_while_revalidate,
            stale_if_error: self.stale_if_error,
            heuristic: false,
            safe_method: self.needs_body,
            partial: true,
            request_directives: self.request_directives == RequestDirectives::Obey,
        }
    }

    /// Who may share the responses.
    pub(crate) fn sharing(&self) -> policy::Scope {
        match self.scope {
            None => policy::Scope::Standard,
            Some(Scope::Public) => policy::Scope::Public,
            Some(Scope::User) => policy::Scope::User,
        }
    }

    pub(crate) fn tags_need_answer(&self) -> bool {
        self.tags.iter().any(Template::needs_answer)
    }

    pub(crate) fn invalidates_need_answer(&self) -> bool {
        self.invalidates.iter().any(Template::needs_answer)
    }
}

/// The route of a path, and where the path's parameters stand: the `inputs` are to be of that path.
pub(crate) struct Matched<'p> {
    pub(super) plan: &'p Arc<RoutePlan>,
    pub(super) params: Params,
}

impl<'p> Matched<'p> {
    pub(crate) fn plan(&self) -> &'p Arc<RoutePlan> {
        self.plan
    }

    /// Writes the full key: `key[~version][@user][?query]`. `version` is the run-time one, 0 for
    /// none.
    #[inline]
    pub(crate) fn key(
        &self,
        inputs: &Inputs<'_>,
        version: u64,
        out: &mut KeyBuf,
    ) -> Result<(), Bypass> {
        out.clear();
        match &self.plan.key {
            Some(template) => template.write(&self.values(*inputs, None), out.bytes())?,
            None => push_url(&{ *inputs }, out.bytes()),
        }
        out.end_base();
        out.push_version(self.plan.version, version);
        if self.plan.scope == Some(Scope::User) {
            out.push_user(inputs.user.ok_or(Bypass::NoUser)?);
        }
        self.plan.query.push(inputs.query, out.bytes());
        Ok(())
    }

    /// What makes the stored responses of the very path unusable, all variations included.
    pub(crate) fn target(&self, inputs: &Inputs<'_>) -> PurgeTarget {
        let mut out = KeyBytes::new();
        match &self.plan.key {
            Some(template) => template.write_widened(&self.values(*inputs, None), &mut out),
            None => push_url(inputs, &mut out),
        }
        encode::shorten(&mut out, 0, encode::KEY_MAX);
        pattern::subject(encode::text(&out))
    }

    /// The tags of a response; `None` if a value is missing, so that it must not be stored.
    pub(crate) fn tags(
        &self,
        inputs: &Inputs<'_>,
        answer: Option<&Value>,
    ) -> Option<Vec<Box<str>>> {
        let tag = |template: &Template| {
            let mut out = KeyBytes::new();
            template
                .write(&self.values(*inputs, answer), &mut out)
                .ok()?;
            Some(encode::text(&out).into())
        };
        self.plan.tags.iter().map(tag).collect()
    }

    /// What a write invalidates; what is missing matches everything.
    pub(crate) fn invalidates(
        &self,
        inputs: &Inputs<'_>,
        answer: Option<&Value>,
    ) -> Vec<PurgeTarget> {
        let subject = |template: &Template| {
            let mut out = KeyBytes::new();
            template.write_widened(&self.values(*inputs, answer), &mut out);
            pattern::subject(encode::text(&out))
        };
        self.plan.invalidates.iter().map(subject).collect()
    }

    #[inline]
    fn values<'a>(&'a self, inputs: Inputs<'a>, answer: Option<&'a Value>) -> Values<'a> {
        Values {
            params: &self.params,
            inputs,
            filter: &self.plan.query_in_key,
            answer,
        }
    }
}

impl std::fmt::Debug for Matched<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matched")
            .field("path", &self.plan.path)
            .finish_non_exhaustive()
    }
}

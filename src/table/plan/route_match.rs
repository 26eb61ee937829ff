use std::{fmt, sync::Arc};

use serde_json::Value;

use super::{
    route::RoutePlan,
    router::Params,
    template::Template,
    value_source::{KeyError, TemplateInputs, ValueSource},
};
use crate::{
    key::{
        KeyBuf,
        encode::{self, KeyBytes},
        inputs::KeyInputs,
        pattern,
        purge::PurgeTarget,
        url::push_url,
    },
    table::route_options::Scope,
};

/// The route of a path, and the positions of the path's parameters. The `inputs` that its methods
/// take must have that path.
pub(crate) struct RouteMatch<'p> {
    pub(super) plan: &'p Arc<RoutePlan>,
    pub(super) params: Params,
}

impl<'p> RouteMatch<'p> {
    pub(crate) fn plan(&self) -> &'p Arc<RoutePlan> {
        self.plan
    }

    /// Writes the full key to `out`, which is empty: `key[~version][@user][?query]`. `version` is
    /// the version set at run time, 0 if none.
    #[inline]
    pub(crate) fn key(
        &self,
        inputs: &KeyInputs<'_>,
        version: u64,
        out: &mut KeyBuf,
    ) -> Result<(), KeyError> {
        match &self.plan.key {
            Some(template) => template.write(&self.values(inputs, None), out.bytes())?,
            None => push_url(inputs, out.bytes()),
        }
        out.end_base();
        out.push_version(self.plan.version, version);
        if self.plan.scope == Some(Scope::User) {
            out.push_user(inputs.user.ok_or(KeyError::NoUser)?);
        }
        self.plan.query.push(inputs.query, out.bytes());
        Ok(())
    }

    /// The target that covers all stored responses of this path, with all variations.
    pub(crate) fn target(&self, inputs: &KeyInputs<'_>) -> PurgeTarget {
        let mut out = KeyBytes::new();
        match &self.plan.key {
            Some(template) => template.write_widened(&self.values(inputs, None), &mut out),
            None => push_url(inputs, &mut out),
        }
        encode::shorten(&mut out, 0, encode::KEY_MAX);
        pattern::target(encode::text(&out))
    }

    /// The tags of a response.
    ///
    /// # Errors
    ///
    /// The placeholder whose value is missing: then the response must not be stored.
    pub(crate) fn tags(
        &self,
        inputs: &KeyInputs<'_>,
        answer: Option<&Value>,
    ) -> Result<Vec<Box<str>>, MissingValue<'_>> {
        let tag = |template: &'p Template| {
            let values = self.values(inputs, answer);
            let mut out = KeyBytes::new();
            match template.write(&values, &mut out) {
                Ok(()) => Ok(encode::text(&out).into()),
                Err(_) => Err(MissingValue(template.missing(&values))),
            }
        };
        self.plan.tags.iter().map(tag).collect()
    }

    /// The targets that a write invalidates; a missing value becomes `*`.
    pub(crate) fn invalidates(
        &self,
        inputs: &KeyInputs<'_>,
        answer: Option<&Value>,
    ) -> Vec<PurgeTarget> {
        let target = |template: &Template| {
            let mut out = KeyBytes::new();
            template.write_widened(&self.values(inputs, answer), &mut out);
            pattern::target(encode::text(&out))
        };
        self.plan.invalidates.iter().map(target).collect()
    }

    #[inline]
    fn values<'a>(
        &'a self,
        inputs: &'a KeyInputs<'a>,
        answer: Option<&'a Value>,
    ) -> TemplateInputs<'a> {
        TemplateInputs {
            params: &self.params,
            inputs,
            filter: &self.plan.query_in_key,
            answer,
        }
    }
}

/// A placeholder whose value is missing; displayed as it is written in the table.
#[derive(Debug)]
pub(crate) struct MissingValue<'p>(Option<&'p ValueSource>);

impl fmt::Display for MissingValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ValueSource::Answer(field)) => write!(f, "{{answer.{field}}}"),
            Some(ValueSource::Query(name)) => write!(f, "{{query.{name}}}"),
            Some(ValueSource::Header(name)) => write!(f, "{{header.{name}}}"),
            Some(ValueSource::User) => f.write_str("{user}"),
            Some(ValueSource::Host) => f.write_str("{host}"),
            Some(ValueSource::WholeQuery) => f.write_str("{#query}"),
            _ => f.write_str("a part of the path"),
        }
    }
}

impl fmt::Debug for RouteMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMatch")
            .field("path", &self.plan.path)
            .finish_non_exhaustive()
    }
}

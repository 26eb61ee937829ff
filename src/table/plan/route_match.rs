use std::{fmt, sync::Arc};

use serde_json::Value;

use super::{
    route::RoutePlan,
    router::Params,
    template::Template,
    value_source::{KeyError, TemplateInputs},
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

    /// The target that covers all stored responses of this path, with all variations. `None` if the
    /// request lacks a value of the key: a GET with the same values has no key either.
    pub(crate) fn target(&self, inputs: &KeyInputs<'_>) -> Option<PurgeTarget> {
        let mut out = KeyBytes::new();
        match &self.plan.key {
            Some(template) => {
                let values = self.values(inputs, None);
                template.write_widened(&values, &mut out).ok()?;
            }
            None => push_url(inputs, &mut out),
        }
        encode::shorten(&mut out, 0, encode::KEY_MAX);
        Some(pattern::target(encode::text(&out)))
    }

    /// The tags of a response; `None` if a value is missing: then the response must not be stored.
    pub(crate) fn tags(
        &self,
        inputs: &KeyInputs<'_>,
        answer: Option<&Value>,
    ) -> Option<Vec<Box<str>>> {
        let tag = |template: &Template| {
            let mut out = KeyBytes::new();
            template
                .write(&self.values(inputs, answer), &mut out)
                .ok()?;
            Some(encode::text(&out).into())
        };
        self.plan.tags.iter().map(tag).collect()
    }

    /// The targets that a write invalidates: for each template one, in which a value that is missing
    /// from the response is `*`, or `None` if the request lacks a value.
    pub(crate) fn invalidates(
        &self,
        inputs: &KeyInputs<'_>,
        answer: Option<&Value>,
    ) -> Vec<Option<PurgeTarget>> {
        let target = |template: &Template| {
            let mut out = KeyBytes::new();
            let values = self.values(inputs, answer);
            template.write_widened(&values, &mut out).ok()?;
            Some(pattern::target(encode::text(&out)))
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

impl fmt::Debug for RouteMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMatch")
            .field("path", &self.plan.path)
            .finish_non_exhaustive()
    }
}

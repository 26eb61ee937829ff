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
        url::{self, push_url},
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

    /// Writes the full key to `out`, which is empty: `key[~version][@user][?query][?+/spelling]`, and
    /// without a template the scheme, if it is known.
    /// `version` is the version set at run time, 0 if none.
    #[inline]
    pub(crate) fn key(
        &self,
        inputs: &KeyInputs<'_>,
        version: u64,
        out: &mut KeyBuf,
    ) -> Result<(), KeyError> {
        if let Some(query) = inputs.query
            && self.plan.listed_query.is_ambiguous(query)
        {
            return Err(KeyError::AmbiguousQuery);
        }
        match &self.plan.key {
            Some(template) => template.write(&self.values(inputs, None), out.bytes())?,
            None => push_url(inputs, out.bytes()),
        }
        out.end_base();
        out.push_version(self.plan.version, version);
        if self.plan.scope == Some(Scope::User) {
            out.push_user(inputs.user.ok_or(KeyError::NoUser)?);
        }
        match &self.plan.key {
            Some(template) => {
                self.plan.query.push(inputs.query, out.bytes());
                if !encode::has_only_escaped(inputs.path) {
                    self.push_spelling(template, inputs, out.bytes());
                }
            }
            None => {
                self.plan.query.push_hashed(inputs.query, out.bytes());
                url::push_spelling(inputs.path, out.bytes());
                url::push_scheme(inputs.scheme, out.bytes());
            }
        }
        Ok(())
    }

    /// Adds how reserved characters of the path's parameters are spelled, unless all are escaped. A
    /// character that stands for itself may be a delimiter to the server (RFC 3986 section 2.2), so
    /// the response may differ; an invalidation of the key covers every spelling.
    #[cold]
    fn push_spelling(&self, template: &Template, inputs: &KeyInputs<'_>, out: &mut KeyBytes) {
        let before = out.len();
        // No other query has a slash at this place.
        out.extend_from_slice(b"?+/");
        let start = out.len();
        for source in template.sources() {
            if let ValueSource::Path { number, .. } = source
                && let Some(range) = self.params.get(*number)
            {
                encode::push_spelling(&inputs.path[range.clone()], out);
                out.push(b'.');
            }
        }
        if out[start..].contains(&b'1') {
            encode::shorten(out, start, encode::VALUE_MAX);
        } else {
            out.truncate(before);
        }
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

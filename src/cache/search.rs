//! Queries that mean the same (`No-Vary-Search`), on paths that no route names.
//!
//! A response with the field lies under the one query that its rule makes of all equivalent ones,
//! so that it also answers who asks exactly that. Who finds nothing under the query as it stands
//! looks there by the rules that the path's responses have given.

use std::sync::Arc;

use http::{HeaderMap, Method, request};

use super::{
    asked::Asked,
    miss::{Answer, Miss},
};
use crate::{
    engine::core::Engine,
    key::{KeyBuf, KeyInputs, url_key},
    message::{
        client_request::ClientRequest, http_service::HttpService, replayable_body::ReplayableBody,
        target::Target,
    },
    semantics::no_vary_search::QueryVariationRule,
    store::entry::{Content, Entry},
};

impl<S, B> Miss<S, B>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    /// Looks for the answer to an equivalent query; it is the candidate if it cannot be used as it
    /// is.
    pub(super) fn search(&mut self, parts: &request::Parts) -> Option<Answer<S, B>> {
        if self.asked.candidate.is_some() || !applies(&self.asked, &parts.method) {
            return None;
        }
        let keep = self.config.keep.engine();
        let rules = keep.query_rules.of(self.asked.key.base())?;
        let target = keep.target(parts);
        let exact = self.asked.key.clone();
        for rule in rules.iter() {
            self.asked.key = key(target, &parts.headers, Some(rule));
            self.asked.search = Some(Arc::clone(rule));
            let found = keep
                .tiers
                .lookup_local(&self.asked.key, &parts.headers, keep.clock.now());
            if let Some(found) = found.filter(|found| self.asked.is_found_by(&found.entry)) {
                let answer = self.answer_found(&found, parts);
                if answer.is_some() {
                    keep.metrics.hit_local.increment(1);
                } else {
                    self.asked.candidate = Some(found);
                }
                return answer;
            }
        }
        // Behind the local tier the most recent rule alone is tried.
        match (&keep.tiers.store, rules.first()) {
            (Some(_), Some(rule)) => {
                self.asked.key = key(target, &parts.headers, Some(rule));
                self.asked.search = Some(Arc::clone(rule));
            }
            _ => {
                self.asked.key = exact;
                self.asked.search = None;
            }
        }
        None
    }
}

impl Asked {
    /// Whether a response that lies under this key says itself that it answers this query.
    pub(super) fn is_found_by(&self, entry: &Entry) -> bool {
        self.search.as_deref().is_none_or(|rule| {
            let Content::Response(response) = &entry.content else {
                return false;
            };
            QueryVariationRule::of(&response.headers).as_ref() == Some(rule)
        })
    }

    /// Puts the key under which a response with these fields is stored in the place of that under
    /// which the request has looked.
    pub(super) fn settle_key(
        &mut self,
        keep: &Engine,
        original: &ClientRequest,
        response: &HeaderMap,
    ) {
        if !applies(self, &original.method) {
            return;
        }
        let rule = QueryVariationRule::of(response).map(Arc::new);
        if rule.is_none() && self.search.is_none() {
            return;
        }
        if let Some(rule) = &rule {
            keep.query_rules.learn(self.key.base(), rule);
        }
        let target = original.target();
        self.key = key(target, &original.headers, rule.as_deref());
        self.search = rule;
    }
}

/// A route's table says itself what of a query counts, and QUERY's key is its content.
fn applies(asked: &Asked, method: &Method) -> bool {
    asked.route.is_none() && matches!(*method, Method::GET | Method::HEAD | Method::POST)
}

fn key(target: Target<'_>, headers: &HeaderMap, rule: Option<&QueryVariationRule>) -> KeyBuf {
    let normal = rule.map(|rule| rule.normalize(target.query));
    let query = match &normal {
        Some(normal) if normal.is_empty() => None,
        Some(normal) => Some(normal.as_str()),
        None => target.query,
    };
    let inputs = KeyInputs {
        host: target.host,
        path: target.path,
        query,
        headers,
        user: None,
        body: None,
    };
    let mut key = KeyBuf::new();
    url_key(&inputs, None, &mut key);
    key
}

//! The fields of a request that are stored with its write.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, COOKIE},
};

use crate::{identity::IdentityPlan, semantics::idempotency_key::IDEMPOTENCY_KEY};

/// Selects the fields that the service may need: those that describe the content, conditions and
/// preferences, `Idempotency-Key`, and those that the route names. Never credentials: what is stored
/// is read by more people and for longer than a request.
///
/// `Content-Length` becomes the `length` of the content that was read.
pub(super) fn select(
    headers: &HeaderMap,
    named: &[HeaderName],
    identity: &IdentityPlan,
    length: usize,
) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let is_credential = *name == COOKIE || identity.is_credential(name);
        if !is_credential && (is_kept(name) || named.contains(name)) {
            kept.append(name, value.clone());
        }
    }
    if kept.contains_key(CONTENT_LENGTH) {
        kept.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    kept
}

fn is_kept(name: &HeaderName) -> bool {
    let starts_with = |prefix: &&str| name.as_str().starts_with(*prefix);
    PREFIXES.iter().any(starts_with) || *name == IDEMPOTENCY_KEY
}

/// `accept` itself is a field, too.
const PREFIXES: [&str; 3] = ["content-", "if-", "accept"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_service_may_need_is_kept_and_no_credentials() {
        let fields = [
            ("content-type", "application/json"),
            ("content-length", "999"),
            ("content-token", "secret"),
            ("if-match", "\"1\""),
            ("accept", "a/b"),
            ("accept", "c/d"),
            ("accept-language", "de"),
            ("idempotency-key", "1"),
            ("x-tenant", "7"),
            ("x-other", "1"),
            ("user-agent", "a client"),
            ("authorization", "secret"),
            ("cookie", "secret"),
            ("x-api-key", "secret"),
        ];
        let headers = fields.map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let mut request = HeaderMap::new();
        for (name, value) in headers {
            request.append(name, value);
        }
        let named = ["x-tenant", "authorization", "cookie", "x-api-key"];
        let named = named.map(HeaderName::from_static);
        let kept = select(&request, &named, &IdentityPlan::default(), 3);
        let kept: Vec<_> = kept
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        let expected = [
            ("content-type", "application/json"),
            ("content-length", "3"),
            ("if-match", "\"1\""),
            ("accept", "a/b"),
            ("accept", "c/d"),
            ("accept-language", "de"),
            ("idempotency-key", "1"),
            ("x-tenant", "7"),
        ];
        assert_eq!(kept, expected);
    }
}

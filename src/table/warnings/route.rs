use crate::{
    key::path,
    table::{
        problem::FieldProblem,
        route::Route,
        route_options::{Grpc, Scope, Through, Write},
    },
};

/// Checks one route.
pub(super) fn problems(route: &Route) -> Vec<FieldProblem> {
    let key = route.key.as_deref().unwrap_or_default();
    let mut problems = Vec::new();
    if is_public_key_of_user(route, key) {
        let message = "the key contains the user, but scope = \"public\" lets all users share it; write scope = \"user\"";
        problems.push(("scope", message.to_owned()));
    }
    problems.extend(open_prefixes(&route.invalidates));
    let mut warn = |applies, field, message: &str| {
        if applies {
            problems.push((field, message.to_owned()));
        }
    };
    warn(
        !route.path.bytes().all(is_path_byte),
        "path",
        "no request has such a path; write it percent-encoded, without a query",
    );
    warn(
        path::is_ambiguous(&route.path),
        "path",
        "requests to such a path bypass the cache; write it without empty segments, dot segments and escaped slashes",
    );
    let normal = path::normalize_escapes(&route.path);
    let message = format!("requests are usually written without these escapes; write {normal:?}");
    warn(*normal != *route.path, "path", &message);
    warn(
        answers_content(route) && !key.contains("{#body}"),
        "key",
        "requests with different bodies share a response; add {#body}",
    );
    warn(
        route.safe_methods.iter().any(|m| m == "GET" || m == "HEAD"),
        "safe_methods",
        "GET and HEAD change nothing on any path; leave them out",
    );
    warn(
        route.max_body == Some(0),
        "max_body",
        "no response with a body is stored; write a size such as \"1MiB\", or leave it out and let the handler answer with `no-store`",
    );
    let has_ttl = route.key.is_some() || route.ttl.is_some();
    warn(
        !has_ttl && route.override_freshness && route.negative.is_empty(),
        "override",
        "it has no effect without a TTL; write `ttl`, or a `key`, whose entity has one",
    );
    warn(
        !has_ttl && route.refresh_ahead.is_some(),
        "refresh_ahead",
        "without a TTL it has an effect only if the response states its own lifetime; write `ttl`, or a `key`, whose entity has one",
    );
    problems.extend(ineffective_write(route));
    problems.extend(ineffective_through(route));
    problems
}

fn is_public_key_of_user(route: &Route, key: &str) -> bool {
    route.scope == Some(Scope::Public) && (key.contains("{user}") || key.contains("{#user}"))
}

/// Patterns such as `engagement:{id}*`, whose `*` does not stand for whole segments.
fn open_prefixes(patterns: &[String]) -> Vec<FieldProblem> {
    let is_open = |pattern: &&String| {
        let start = pattern.strip_suffix('*');
        let of_entity = start.filter(|start| !start.starts_with("url:"));
        of_entity.is_some_and(|start| !start.is_empty() && !start.ends_with([':', '*']))
    };
    let problem = |pattern: &String| {
        let exact = pattern.trim_end_matches('*');
        let message = format!(
            "{pattern:?} also matches longer identifiers, as {exact}0; write \"{exact}\" and \"{exact}:*\""
        );
        ("invalidates", message)
    };
    patterns.iter().filter(is_open).map(problem).collect()
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'?' && byte != b'#'
}

/// Whether stored responses answer requests with content.
fn answers_content(route: &Route) -> bool {
    route.safe_methods.iter().any(|m| m != "GET" && m != "HEAD") || route.grpc == Some(Grpc::Read)
}

fn ineffective_write(route: &Route) -> Option<FieldProblem> {
    let key = route.key.as_deref().unwrap_or_default();
    let cannot_replace = route.grpc.is_some() || key.contains("{#body}");
    (route.write == Write::Through && cannot_replace).then(|| {
        let message =
            "it has no effect on a gRPC method, nor under a key with {#body}; leave it out";
        ("write", message.to_owned())
    })
}

fn ineffective_through(route: &Route) -> Option<FieldProblem> {
    if route.through != Through::Answer || route.write == Write::Behind {
        return None;
    }
    let message = if route.write != Write::Through {
        "it has no effect by itself; write write = \"through\" as well, or leave it out"
    } else if route.before || !route.vary.is_empty() {
        "a write's response is never stored if `before` or `vary` is given; write \"refetch\""
    } else {
        return None;
    };
    Some(("through", message.to_owned()))
}

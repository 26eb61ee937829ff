//! Suggests what to write instead of input that TOML or serde reject.

use super::nearest::nearest;

/// Adds what to write instead to a message of TOML or serde. `found` is the text that the message
/// points to, `line` the whole line.
pub(super) fn explain(message: &str, found: &str, line: &str) -> String {
    let message = message.trim();
    if message.starts_with("unknown ") {
        return unknown_name(message);
    }
    let plain = message.replace("expected u64", "expected a whole number");
    let plain = plain.replace("expected u32", "expected a whole number below 2^32");
    match suggestion(message, found.lines().next().unwrap_or_default(), line) {
        Some(instead) => format!("{plain}; write {instead}"),
        None => plain,
    }
}

/// Replaces serde's list of all known names by the most similar one.
fn unknown_name(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else {
        return message.to_owned();
    };
    let Some((start, _)) = message.split_once(", expected") else {
        return message.to_owned();
    };
    if let Some((_, what)) = EQUIVALENTS.iter().find(|(name, _)| *name == unknown) {
        return format!("{start}; {what}");
    }
    match nearest(unknown, quoted) {
        Some(name) => format!("{start}; did you mean `{name}`?"),
        None => message.to_owned(),
    }
}

/// Names that other programs use, with the table's equivalent.
const EQUIVALENTS: [(&str, &str); 10] = [
    (
        "private",
        "write \"user\": the user is then part of the key",
    ),
    ("url", STORE),
    ("redis", STORE),
    ("method", METHODS),
    (
        "methods",
        "write safe_methods = [\"POST\"] for methods that change nothing",
    ),
    ("per", WINDOW),
    ("period", WINDOW),
    ("interval", WINDOW),
    (
        "user",
        "write by = \"user\" for a limit, scope = \"user\" for a route",
    ),
    ("max_age", "write ttl = \"5m\""),
];
const STORE: &str = "the address of Redis does not belong in the table; write RedisStore::connect(\"redis://127.0.0.1/\") in code";
const METHODS: &str = "write methods = [\"POST\"] for a limit, safe_methods = [\"POST\"] for a route whose POST changes nothing";
const WINDOW: &str = "write window = \"1m\"";

fn suggestion(message: &str, found: &str, line: &str) -> Option<String> {
    if let Some(field) = message.strip_prefix("missing field `") {
        return missing_field(field.trim_end_matches('`')).map(str::to_owned);
    }
    if message.starts_with("invalid unquoted key") {
        let name = line.split('=').next().unwrap_or_default().trim();
        return (name.contains(':') && !name.contains('"'))
            .then(|| format!("\"{name}\" in quotes"));
    }
    let (start, expected) = message.rsplit_once("expected ")?;
    match expected {
        "a sequence" if found.starts_with('[') => Some(format!("[{}]", found.trim())),
        "a sequence" => Some(format!("[{found}]")),
        "u64" | "u32" | "u8" => Some(whole_number(found)),
        "a string" => Some(format!("\"{found}\"")),
        "a boolean" => Some("true or false, without quotes".to_owned()),
        "a map" if line.trim_start().starts_with("negative") => {
            Some("{ 404 = \"10s\" }".to_owned())
        }
        "a size" => Some("\"64MiB\" or a whole number of bytes".to_owned()),
        _ if start.contains(" map,") && expected.starts_with("a duration") => {
            Some("one name with colons, in quotes, as \"agent:status\" = 60".to_owned())
        }
        _ if expected.starts_with("a duration") => {
            Some("\"30m\" or a whole number of seconds".to_owned())
        }
        _ => None,
    }
}

fn missing_field(field: &str) -> Option<&'static str> {
    match field {
        "name" => Some("name = \"api\""),
        "key" => Some("key = \"config:*\""),
        "path" => Some("path = \"/engagements/{id}\""),
        "limit" => Some("limit = 100"),
        "window" => Some("window = \"1m\""),
        _ => None,
    }
}

/// Suggests a number without its quotes, if there are quotes.
fn whole_number(found: &str) -> String {
    let digits = found.trim_matches(['"', '\'']);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{digits}, without quotes")
    } else {
        "0 or more, as 100".to_owned()
    }
}

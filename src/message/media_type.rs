//! Media types of content.

/// Whether a `Content-Type` is `application/json` or a `+json` type (RFC 6839), with any parameters.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    essence == b"application/json" || essence.ends_with(b"+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_types_are_recognised_with_parameters_and_in_any_case() {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json ;a=b",
        ] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for other in ["text/html", "application/jsonl", "text/plain;a=+json", ""] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
    }
}

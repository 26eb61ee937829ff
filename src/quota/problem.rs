use bytes::Bytes;
use serde::Serialize;

/// A problem type of draft-ietf-httpapi-ratelimit-headers-10 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemType {
    /// The request exceeds a quota.
    QuotaExceeded,
    /// The store does not answer, and the limit's `on_error` is `closed`.
    ReducedCapacity,
}

/// Problem details (RFC 9457) as JSON, with the names of the violated policies.
pub(crate) fn problem_details<'a>(
    problem: ProblemType,
    policies: impl Iterator<Item = &'a str>,
) -> Bytes {
    let (uri, title, status) = match problem {
        ProblemType::QuotaExceeded => (
            "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "Request cannot be satisfied as assigned quota has been exceeded",
            429,
        ),
        ProblemType::ReducedCapacity => (
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            "Request cannot be satisfied due to temporary server capacity constraints",
            503,
        ),
    };
    let details = ProblemDetails {
        uri,
        title,
        status,
        violated_policies: policies.collect(),
    };
    let json = serde_json::to_vec(&details).expect("strings and numbers are valid JSON");
    json.into()
}

#[derive(Serialize)]
struct ProblemDetails<'a> {
    #[serde(rename = "type")]
    uri: &'static str,
    title: &'static str,
    status: u16,
    #[serde(rename = "violated-policies")]
    violated_policies: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_details_are_json_with_the_members_of_the_draft() {
        let body = problem_details(ProblemType::QuotaExceeded, ["a", "b-2"].into_iter());
        let expected = concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
            r#""title":"Request cannot be satisfied as assigned quota has been exceeded","#,
            r#""status":429,"violated-policies":["a","b-2"]}"#
        );
        assert_eq!(body, expected);
    }

    #[test]
    fn reduced_capacity_is_a_503() {
        let body = problem_details(ProblemType::ReducedCapacity, ["a"].into_iter());
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            json["type"],
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
        );
        assert_eq!(json["status"], 503);
        assert_eq!(json["violated-policies"], serde_json::json!(["a"]));
    }
}

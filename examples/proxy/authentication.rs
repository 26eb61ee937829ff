//! Authentication schemes that authenticate a connection rather than a request.
//!
//! The proxy shares its connections to the origin between clients. If one client authenticated such a connection, the
//! origin would take the requests of the next client for its own.

use http::{HeaderMap, HeaderValue, header};

/// Schemes whose result the origin keeps with the connection (RFC 4559; NTLM over HTTP).
const BOUND_TO_CONNECTION: [&str; 4] = ["ntlm", "negotiate", "nego2", "kerberos"];

/// Whether `Authorization` names a scheme that authenticates the whole connection.
///
/// `Authorization` has one scheme, but some servers take one of several. Commas in quoted strings separate, too: an
/// origin may not see the same quotes.
pub(crate) fn is_bound_to_connection(fields: &HeaderMap) -> bool {
    fields
        .get_all(header::AUTHORIZATION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|member| !is_parameter(member) && is_bound(scheme(member)))
}

/// Removes the challenges of these schemes from a response, so that clients do not try them.
pub(crate) fn remove_challenges(fields: &mut HeaderMap) {
    let lines = fields.get_all(header::WWW_AUTHENTICATE).iter();
    let kept: Vec<_> = lines.filter_map(without_bound_challenges).collect();
    fields.remove(header::WWW_AUTHENTICATE);
    for line in kept {
        fields.append(header::WWW_AUTHENTICATE, line);
    }
}

/// The challenges of a line, without those that are bound to the connection; `None` if no other is left.
///
/// A line is a list of challenges, and each may have a list of parameters, separated by the same commas (RFC 9110,
/// 11.6.1): a member that is not `name=value` begins the next challenge.
fn without_bound_challenges(line: &HeaderValue) -> Option<HeaderValue> {
    let mut drops = false;
    let kept: Vec<&[u8]> = members(line.as_bytes())
        .filter(|member| {
            let member = member.trim_ascii();
            if !is_parameter(member) {
                drops = is_bound(scheme(member));
            }
            !drops
        })
        .collect();
    let kept = kept.join(&b","[..]);
    HeaderValue::from_bytes(kept.trim_ascii())
        .ok()
        .filter(|line| !line.is_empty())
}

/// The members of a list; a comma in a quoted string does not separate.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let was_escaped = std::mem::replace(&mut escaped, false);
        match byte {
            b'\\' if quoted => escaped = !was_escaped,
            b'"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        *byte == b',' && !quoted
    })
}

fn is_parameter(member: &[u8]) -> bool {
    let name = scheme(member);
    let after = member[name.len()..].trim_ascii_start();
    // `Basic =` cannot be told from a parameter named `Basic`; a token68 has a space before it.
    after.first() == Some(&b'=')
}

/// The token at the start of a challenge or of credentials.
fn scheme(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b'=' | b','))
        .unwrap_or(text.len());
    &text[..end]
}

fn is_bound(scheme: &[u8]) -> bool {
    BOUND_TO_CONNECTION
        .iter()
        .any(|bound| scheme.eq_ignore_ascii_case(bound.as_bytes()))
}

//! The subject that a limit counts.

use std::{
    cell::LazyCell,
    hash::{BuildHasher, Hasher, RandomState},
    iter, mem,
    net::IpAddr,
    sync::LazyLock,
};

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::{
    identity::{IdentityPlan, User, truncate},
    key::{
        encode::{KeyBytes, push_bytes, push_value},
        hash,
    },
    table::limit_plan::SubjectPart,
};

/// The properties of a request from which subjects are made.
pub(super) struct Client<'a> {
    /// The verified user.
    pub(super) user: Lazy<'a, User<'a>>,
    pub(super) ip: Lazy<'a, IpAddr>,
    /// The route's pattern; never the path, which a client could vary to get more counters.
    pub(super) route: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    /// Whether other processes share the counters, so that all must derive the same subject.
    pub(super) is_shared: bool,
}

/// A property of the request that is computed on first use; `None` if the request does not have it.
pub(super) type Lazy<'a, T> = LazyCell<Option<T>, &'a dyn Fn() -> Option<T>>;

/// The subject that a limit counts. Counters with the same tag (the hash tag in a Redis Cluster) are
/// decided in one step. The rest distinguishes counters with the same tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LimitSubject {
    text: SmallVec<[u8; 64]>,
    tag_len: usize,
}

impl LimitSubject {
    /// The subject of a request under a limit that counts by these parts.
    ///
    /// The tag is the first part in the order user, address, header, route: limits by user and limits by
    /// user and route have the same tag. The address replaces an unknown user, and a header that the
    /// request does not have.
    pub(super) fn of(by: &[SubjectPart], client: &Client<'_>, identity: &IdentityPlan) -> Self {
        let mut writer = SubjectWriter {
            client,
            ipv6_prefix: identity.ipv6_prefix,
            text: KeyBytes::new(),
            tag_len: 0,
            has_address: false,
        };
        for part in sorted(by) {
            writer.push(part);
        }
        Self {
            text: SmallVec::from_slice(&writer.text),
            tag_len: writer.tag_len,
        }
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.text[..self.tag_len]
    }

    /// Empty, or a colon and the parts after the tag.
    pub(super) fn rest(&self) -> &[u8] {
        &self.text[self.tag_len..]
    }

    /// Whether this is the common subject of all requests without a known address.
    pub(super) fn is_unknown(&self) -> bool {
        self.tag() == b"ip:unknown"
    }
}

struct SubjectWriter<'a, 'b> {
    client: &'a Client<'b>,
    ipv6_prefix: u8,
    text: KeyBytes,
    tag_len: usize,
    has_address: bool,
}

impl SubjectWriter<'_, '_> {
    fn push(&mut self, part: &SubjectPart) {
        let text = &mut self.text;
        let start = text.len();
        if start > 0 {
            text.push(b':');
        }
        let written = text.len();
        let known = match part {
            SubjectPart::User => push_known(self.client.user.as_ref().map(User::id), text),
            SubjectPart::Header(name) => push_field(name, self.client, text),
            SubjectPart::Route => push_known(Some(self.client.route.unwrap_or("*")), text),
            SubjectPart::Ip => None,
        };
        if known.is_none() && !mem::replace(&mut self.has_address, true) {
            push_address(*self.client.ip, self.ipv6_prefix, text);
        }
        if text.len() == written {
            text.truncate(start);
        }
        if self.tag_len == 0 {
            self.tag_len = text.len();
        }
    }
}

/// In the order user, address, headers, route.
fn sorted(by: &[SubjectPart]) -> SmallVec<[&SubjectPart; 4]> {
    let mut parts: SmallVec<[&SubjectPart; 4]> = by.iter().collect();
    parts.sort_by_key(|by| match by {
        SubjectPart::User => 0,
        SubjectPart::Ip => 1,
        SubjectPart::Header(_) => 2,
        SubjectPart::Route => 3,
    });
    parts
}

fn push_known(value: Option<&str>, text: &mut KeyBytes) -> Option<()> {
    push_value(value?.as_bytes(), text);
    Some(())
}

/// Writes a hash of all lines of the field, so that no line is ignored.
fn push_field(name: &HeaderName, client: &Client<'_>, text: &mut KeyBytes) -> Option<()> {
    let mut lines = client.headers.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    text.extend_from_slice(b"field:");
    match lines.next() {
        None => push_hash(first, client.is_shared, text),
        Some(second) => {
            let mut all = KeyBytes::from_slice(first);
            for line in iter::once(second).chain(lines) {
                all.push(b'\n');
                all.extend_from_slice(line.as_bytes());
            }
            push_hash(&all, client.is_shared, text);
        }
    }
    Some(())
}

/// Writes a hash of the value, which may be a secret. In one process a short hash with a random key is
/// enough: no client can choose a value that collides with another's.
fn push_hash(value: &[u8], shared: bool, text: &mut KeyBytes) {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    if shared {
        text.extend_from_slice(&hash::long(value));
        return;
    }
    let mut hasher = KEY.build_hasher();
    hasher.write(value);
    text.extend_from_slice(&hasher.finish().to_le_bytes());
}

/// Writes `ip:203.0.113.7` or `ip:2001-db8-0-1`. Colons in users' names are escaped, so a name cannot
/// be mistaken for an address.
fn push_address(ip: Option<IpAddr>, prefix: u8, text: &mut KeyBytes) {
    text.extend_from_slice(b"ip:");
    match ip.map(|ip| truncate(ip, prefix)) {
        None => text.extend_from_slice(b"unknown"),
        Some(IpAddr::V4(v4)) => {
            for (at, byte) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(byte).as_bytes());
            }
        }
        Some(IpAddr::V6(v6)) => {
            let groups = usize::from(prefix.div_ceil(16));
            for (at, group) in v6.segments().into_iter().take(groups).enumerate() {
                if at > 0 {
                    text.push(b'-');
                }
                push_bytes(format!("{group:x}").as_bytes(), text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> IdentityPlan {
        IdentityPlan {
            ipv6_prefix: 64,
            ..IdentityPlan::default()
        }
    }

    fn tag_and_rest(by: &[SubjectPart], client: &Client<'_>) -> (String, String) {
        let subject = LimitSubject::of(by, client, &identity());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        (text(subject.tag()), text(subject.rest()))
    }

    fn client<'a>(user: Option<&'a str>, ip: &str, headers: &'a HeaderMap) -> Client<'a> {
        let ip = ip.parse().ok();
        Client {
            user: LazyCell::new(Box::leak(Box::new(move || user.map(User::Header)))),
            ip: LazyCell::new(Box::leak(Box::new(move || ip))),
            route: Some("/users/{id}"),
            headers,
            is_shared: true,
        }
    }

    fn pair(tag: &str, rest: &str) -> (String, String) {
        (tag.to_owned(), rest.to_owned())
    }

    #[test]
    fn limits_of_one_user_have_the_same_tag() {
        let none = HeaderMap::new();
        let known = client(Some("user-123"), "203.0.113.7", &none);
        assert_eq!(
            tag_and_rest(&[SubjectPart::User], &known),
            pair("user-123", "")
        );
        assert_eq!(
            tag_and_rest(&[SubjectPart::Route, SubjectPart::User], &known),
            pair("user-123", ":%2Fusers%2F%7Bid%7D")
        );
        assert_eq!(
            tag_and_rest(&[SubjectPart::User, SubjectPart::Ip], &known),
            pair("user-123", ":ip:203.0.113.7")
        );
        assert_eq!(
            tag_and_rest(&[SubjectPart::Route], &known),
            pair("%2Fusers%2F%7Bid%7D", "")
        );
    }

    #[test]
    fn an_unknown_user_or_header_is_replaced_by_the_address() {
        let none = HeaderMap::new();
        let unknown = client(None, "203.0.113.7", &none);
        let field = SubjectPart::Header(HeaderName::from_static("x-key"));
        for by in [
            vec![SubjectPart::User],
            vec![field],
            vec![SubjectPart::User, SubjectPart::Ip],
        ] {
            assert_eq!(
                tag_and_rest(&by, &unknown),
                pair("ip:203.0.113.7", ""),
                "{by:?}"
            );
        }
        let no_address = client(None, "", &none);
        assert_eq!(
            tag_and_rest(&[SubjectPart::User], &no_address),
            pair("ip:unknown", "")
        );
    }

    #[test]
    fn an_ipv6_address_is_its_prefix_and_a_mapped_address_is_ipv4() {
        let none = HeaderMap::new();
        let of_ip = |ip| tag_and_rest(&[SubjectPart::Ip], &client(None, ip, &none)).0;
        assert_eq!(of_ip("2001:db8:0:1::1"), "ip:2001-db8-0-1");
        assert_eq!(of_ip("2001:db8:0:1:ffff:ffff:ffff:ffff"), "ip:2001-db8-0-1");
        assert_ne!(of_ip("2001:db8:0:2::1"), "ip:2001-db8-0-1");
        assert_eq!(of_ip("::ffff:198.51.100.9"), "ip:198.51.100.9");
    }

    #[test]
    fn a_users_name_cannot_forge_another_subject() {
        let none = HeaderMap::new();
        let user = |name: &str| {
            tag_and_rest(
                &[SubjectPart::User, SubjectPart::Route],
                &client(Some(name), "::1", &none),
            )
        };
        assert_eq!(user("ip:203.0.113.7").0, "ip%3A203.0.113.7");
        assert_eq!(user("a}:{b").0, "a%7D%3A%7Bb");
        assert!(user(&"x".repeat(70_000)).0.len() <= 64);
        assert_ne!(user(&"x".repeat(70_000)), user(&"x".repeat(70_001)));
    }

    #[test]
    fn a_header_is_hashed_over_all_its_lines() {
        let by = [SubjectPart::Header(HeaderName::from_static("x-key"))];
        for is_shared in [true, false] {
            let with = |lines: &[&'static str]| {
                let mut headers = HeaderMap::new();
                for line in lines {
                    headers.append("x-key", http::HeaderValue::from_static(line));
                }
                let mut client = client(None, "::1", &headers);
                client.is_shared = is_shared;
                LimitSubject::of(&by, &client, &identity()).tag().to_vec()
            };
            let secret = with(&["secret"]);
            assert!(secret.starts_with(b"field:"));
            assert!(!secret.windows(6).any(|part| part == b"secret"));
            assert_eq!(with(&["secret"]), secret);
            assert_ne!(with(&["secret", "other"]), secret);
            assert_ne!(with(&["other"]), secret);
        }
    }

    #[test]
    fn with_a_shared_store_the_hash_of_a_header_is_the_same_in_every_process() {
        let mut headers = HeaderMap::new();
        headers.append("x-key", http::HeaderValue::from_static("abc"));
        let by = [SubjectPart::Header(HeaderName::from_static("x-key"))];
        // the first half of SHA-256("abc"), an example of FIPS 180
        let hash = "field:ba7816bf8f01cfea414140de5dae2223";
        assert_eq!(
            tag_and_rest(&by, &client(None, "::1", &headers)),
            pair(hash, "")
        );
    }
}

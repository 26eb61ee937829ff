//! Whom a limit counts a request for.

use std::{
    cell::OnceCell,
    hash::{BuildHasher, Hasher, RandomState},
    iter, mem,
    net::IpAddr,
    sync::LazyLock,
};

use http::{HeaderMap, HeaderName};

use crate::{
    identity::{IdentityPlan, User, truncate},
    key::{
        encode::{KeyBytes, push_bytes, push_value},
        hash,
    },
    table::limit_plan::Subject as By,
};
use smallvec::SmallVec;

/// What is known of who makes a request.
pub(super) struct Client<'a> {
    /// The user somebody vouches for, once a limit has asked.
    pub(super) user: OnceCell<Option<User<'a>>>,
    pub(super) find_user: &'a dyn Fn() -> Option<User<'a>>,
    /// The address, once a limit has asked for it.
    pub(super) ip: OnceCell<Option<IpAddr>>,
    pub(super) find_ip: &'a dyn Fn() -> Option<IpAddr>,
    /// The route's pattern; never the path, of which a client has as many as it likes.
    pub(super) route: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    /// Whether other processes count, too, and must find the same subject.
    pub(super) shared: bool,
}

impl<'a> Client<'a> {
    pub(super) fn user(&self) -> Option<&User<'a>> {
        self.user.get_or_init(self.find_user).as_ref()
    }

    pub(super) fn ip(&self) -> Option<IpAddr> {
        *self.ip.get_or_init(self.find_ip)
    }
}

/// A subject in its parts: the tag is what the counters of one subject have in common (a Cluster's
/// hash tag), the rest divides it further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    text: SmallVec<[u8; 64]>,
    /// How long the tag is.
    tag: usize,
}

impl Subject {
    /// The subject of a limit: its tag is the user, or else the address, a field, the route, so that
    /// limits by user and by user and route lie together.
    ///
    /// Where no user is known, or the request lacks the field, it is the address.
    pub(super) fn of(by: &[By], client: &Client<'_>, identity: &IdentityPlan) -> Self {
        let (mut text, mut tag, mut address) = (KeyBytes::new(), 0, false);
        let mut push = |part: &By| {
            let start = text.len();
            if start > 0 {
                text.push(b':');
            }
            let written = text.len();
            let known = match part {
                By::User => push_known(client.user().map(User::id), &mut text),
                By::Header(name) => push_field(name, client, &mut text),
                By::Route => push_known(Some(client.route.unwrap_or("*")), &mut text),
                By::Ip => None,
            };
            if known.is_none() && !mem::replace(&mut address, true) {
                push_address(client.ip(), identity.ipv6_prefix, &mut text);
            }
            if text.len() == written {
                text.truncate(start);
            }
            if tag == 0 {
                tag = text.len();
            }
        };
        match by {
            [only] => push(only),
            several => in_order(several).into_iter().for_each(push),
        }
        Self {
            text: SmallVec::from_slice(&text),
            tag,
        }
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.text[..self.tag]
    }

    /// Empty, or a colon and what divides the subject.
    pub(super) fn rest(&self) -> &[u8] {
        &self.text[self.tag..]
    }

    /// Whether it is what those share of whom nothing is known.
    pub(super) fn is_unknown(&self) -> bool {
        self.tag() == b"ip:unknown"
    }
}

/// User, address, fields, route.
fn in_order(by: &[By]) -> SmallVec<[&By; 4]> {
    let mut parts: SmallVec<[&By; 4]> = by.iter().collect();
    parts.sort_by_key(|by| match by {
        By::User => 0,
        By::Ip => 1,
        By::Header(_) => 2,
        By::Route => 3,
    });
    parts
}

fn push_known(value: Option<&str>, text: &mut KeyBytes) -> Option<()> {
    push_value(value?.as_bytes(), text);
    Some(())
}

/// All lines count, so that none can hide another.
fn push_field(name: &HeaderName, client: &Client<'_>, text: &mut KeyBytes) -> Option<()> {
    let mut lines = client.headers.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    text.extend_from_slice(b"field:");
    match lines.next() {
        None => push_hash(first, client.shared, text),
        Some(second) => {
            let mut all = KeyBytes::from_slice(first);
            for line in iter::once(second).chain(lines) {
                all.push(b'\n');
                all.extend_from_slice(line.as_bytes());
            }
            push_hash(&all, client.shared, text);
        }
    }
    Some(())
}

/// The value may be a secret, and keys are seen by many: only its hash stands there. In one process
/// a hash under a key that nobody knows will do: no value can be chosen to meet another's.
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

/// `ip:203.0.113.7`, `ip:2001-db8-0-1`: no user's name has a colon, so none can pass for an address.
fn push_address(ip: Option<IpAddr>, prefix: u8, text: &mut KeyBytes) {
    text.extend_from_slice(b"ip:");
    match ip.map(|ip| truncate(ip, prefix)) {
        None => text.extend_from_slice(b"unknown"),
        Some(IpAddr::V4(v4)) => {
            for (at, byte) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    text.push(b'.');
                }
                push_decimal(byte, text);
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

fn push_decimal(byte: u8, text: &mut KeyBytes) {
    if byte >= 100 {
        text.push(b'0' + byte / 100);
    }
    if byte >= 10 {
        text.push(b'0' + byte / 10 % 10);
    }
    text.push(b'0' + byte % 10);
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

    fn of(by: &[By], client: &Client<'_>) -> (String, String) {
        let subject = Subject::of(by, client, &identity());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        (text(subject.tag()), text(subject.rest()))
    }

    fn client<'a>(user: Option<&'a str>, ip: &str, headers: &'a HeaderMap) -> Client<'a> {
        Client {
            user: OnceCell::from(user.map(User::Header)),
            find_user: &|| None,
            ip: OnceCell::from(ip.parse().ok()),
            find_ip: &|| None,
            route: Some("/users/{id}"),
            headers,
            shared: true,
        }
    }

    fn pair(tag: &str, rest: &str) -> (String, String) {
        (tag.to_owned(), rest.to_owned())
    }

    #[test]
    fn limits_of_one_user_lie_together_whatever_else_divides_them() {
        let none = HeaderMap::new();
        let known = client(Some("user-123"), "203.0.113.7", &none);
        assert_eq!(of(&[By::User], &known), pair("user-123", ""));
        assert_eq!(
            of(&[By::Route, By::User], &known),
            pair("user-123", ":%2Fusers%2F%7Bid%7D")
        );
        assert_eq!(
            of(&[By::User, By::Ip], &known),
            pair("user-123", ":ip:203.0.113.7")
        );
        assert_eq!(of(&[By::Route], &known), pair("%2Fusers%2F%7Bid%7D", ""));
    }

    #[test]
    fn who_is_not_known_is_an_address_and_never_nobody() {
        let none = HeaderMap::new();
        let unknown = client(None, "203.0.113.7", &none);
        let field = By::Header(HeaderName::from_static("x-key"));
        for by in [vec![By::User], vec![field], vec![By::User, By::Ip]] {
            assert_eq!(of(&by, &unknown), pair("ip:203.0.113.7", ""), "{by:?}");
        }
        let nobody = client(None, "", &none);
        assert_eq!(of(&[By::User], &nobody), pair("ip:unknown", ""));
    }

    #[test]
    fn an_ipv6_client_is_its_prefix_and_a_mapped_address_is_ipv4() {
        let none = HeaderMap::new();
        let of_ip = |ip| of(&[By::Ip], &client(None, ip, &none)).0;
        assert_eq!(of_ip("2001:db8:0:1::1"), "ip:2001-db8-0-1");
        assert_eq!(of_ip("2001:db8:0:1:ffff:ffff:ffff:ffff"), "ip:2001-db8-0-1");
        assert_ne!(of_ip("2001:db8:0:2::1"), "ip:2001-db8-0-1");
        assert_eq!(of_ip("::ffff:198.51.100.9"), "ip:198.51.100.9");
    }

    #[test]
    fn no_name_of_a_user_forges_another_subject() {
        let none = HeaderMap::new();
        let user = |name: &str| of(&[By::User, By::Route], &client(Some(name), "::1", &none));
        assert_eq!(user("ip:203.0.113.7").0, "ip%3A203.0.113.7");
        assert_eq!(user("a}:{b").0, "a%7D%3A%7Bb");
        assert!(user(&"x".repeat(70_000)).0.len() <= 64);
        assert_ne!(user(&"x".repeat(70_000)), user(&"x".repeat(70_001)));
    }

    #[test]
    fn a_field_is_hashed_over_all_its_lines() {
        let by = [By::Header(HeaderName::from_static("x-key"))];
        for shared in [true, false] {
            let with = |lines: &[&'static str]| {
                let mut headers = HeaderMap::new();
                for line in lines {
                    headers.append("x-key", http::HeaderValue::from_static(line));
                }
                let mut client = client(None, "::1", &headers);
                client.shared = shared;
                Subject::of(&by, &client, &identity()).tag().to_vec()
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
    fn among_processes_the_hash_of_a_field_is_the_same_in_each() {
        let mut headers = HeaderMap::new();
        headers.append("x-key", http::HeaderValue::from_static("abc"));
        let by = [By::Header(HeaderName::from_static("x-key"))];
        // half of the SHA-256 that FIPS 180 gives as an example
        let hash = "field:ba7816bf8f01cfea414140de5dae2223";
        assert_eq!(of(&by, &client(None, "::1", &headers)), pair(hash, ""));
    }
}

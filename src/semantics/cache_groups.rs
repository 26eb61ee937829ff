//! Groups of responses (RFC 9875), and the other fields in which responses carry tags.

use http::{HeaderMap, HeaderName};

use super::list;
use crate::key::host::without_default_port;

pub(crate) const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The tags of content delivery networks; a comma-separated list.
pub(crate) const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Tags separated by spaces (Edge Architecture Specification).
pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// The members of `Cache-Groups` or `Cache-Group-Invalidation`; `None` if the field is malformed.
pub(crate) fn members(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<Box<str>>> {
    let list: sfv::List = sfv::Parser::new(&list::join_lines(headers, name))
        .parse()
        .ok()?;
    let strings = list.into_iter().filter_map(|member| match member {
        sfv::ListEntry::Item(item) => item.bare_item.as_string().map(|s| s.as_str().into()),
        sfv::ListEntry::InnerList(_) => None,
    });
    Some(strings.collect())
}

/// The tag for a group of one origin (section 2.1: a group belongs to one origin). Without a host,
/// the group of responses that are stored for all hosts.
///
/// The scheme is ignored, because TLS may be terminated in front of this cache.
pub(crate) fn tag(group: &str, host: Option<&str>) -> Box<str> {
    let host = host.map(without_default_port).unwrap_or_default();
    format!("{group}@{}", host.to_ascii_lowercase()).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Option<Vec<Box<str>>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_GROUPS, HeaderValue::from_static(line));
        }
        members(&headers, &CACHE_GROUPS)
    }

    #[test]
    fn only_strings_are_groups() {
        let groups = read(&["\"a, b\";x=1, token", "\"c\", (\"d\")"]).expect("a list");
        assert_eq!(
            groups.iter().map(|g| &**g).collect::<Vec<_>>(),
            ["a, b", "c"]
        );
        assert_eq!(read(&["\"a"]), None);
    }

    #[test]
    fn groups_of_two_origins_differ() {
        let own = tag("a", Some("Example.com:80"));
        assert_eq!(own, tag("a", Some("example.com")));
        assert_ne!(own, tag("a", Some("example.org")));
        assert_ne!(own, tag("a", None));
    }
}

//! Reads this cache's member of `Cache-Status` (RFC 9211).

use http::HeaderMap;

use super::{
    cache_status::{CACHE_STATUS, NAME},
    list,
};

/// How this cache handled a request, according to the response's `Cache-Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheReport {
    pub(crate) hit: bool,
    pub(crate) stored: bool,
    pub(crate) collapsed: bool,
    /// Seconds of freshness left, negative when stale.
    pub(crate) ttl: Option<i64>,
    /// Why the request was forwarded.
    pub(crate) forward: Option<Box<str>>,
    pub(crate) detail: Option<Box<str>>,
}

impl CacheReport {
    /// The member of the layer nearest to the client; `None` if there is none, or the field is
    /// malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let lines = list::join_lines(headers, &CACHE_STATUS);
        let list: sfv::List = sfv::Parser::new(&lines).parse().ok()?;
        list.iter().rev().find_map(|member| match member {
            sfv::ListEntry::Item(item) => Self::of_member(item),
            sfv::ListEntry::InnerList(_) => None,
        })
    }

    fn of_member(item: &sfv::Item) -> Option<Self> {
        if item.bare_item.as_token()?.as_str() != NAME {
            return None;
        }
        let value = |name: &str| item.params.get(name);
        let flag = |name| {
            value(name)
                .and_then(|value| value.as_boolean())
                .unwrap_or(false)
        };
        let text = |name| {
            let value = value(name)?;
            let token = value.as_token().map(|token| token.as_str());
            let text = token.or_else(|| value.as_string().map(|text| text.as_str()));
            text.map(Into::into)
        };
        Some(Self {
            hit: flag("hit"),
            stored: flag("stored"),
            collapsed: flag("collapsed"),
            ttl: value("ttl").and_then(|ttl| ttl.as_integer()).map(i64::from),
            forward: text("fwd"),
            detail: text("detail"),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Option<CacheReport> {
        let lines = lines
            .iter()
            .map(|line| (CACHE_STATUS, HeaderValue::from_static(line)));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        CacheReport::of(&headers)
    }

    #[test]
    fn the_last_member_of_this_cache_counts() {
        let hit = read(&[
            "tower-keep; fwd=uri-miss; stored, other; hit",
            "tower-keep; hit; ttl=-3",
        ]);
        let hit = hit.expect("reported");
        assert_eq!((hit.hit, hit.ttl, hit.forward), (true, Some(-3), None));
        let miss = read(&["tower-keep; fwd=stale; stored; detail=\"a b\""]).expect("reported");
        assert_eq!((miss.hit, miss.stored), (false, true));
        assert_eq!(
            (miss.forward.as_deref(), miss.detail.as_deref()),
            (Some("stale"), Some("a b"))
        );
    }

    #[test]
    fn members_of_other_caches_are_ignored() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["other; hit"]), None);
        assert_eq!(read(&["tower-keep; hit; ,;"]), None);
    }
}

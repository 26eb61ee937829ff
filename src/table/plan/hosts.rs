//! The authorities that routes serve.

use http::uri::Authority;

/// The authorities that a route, or the table, serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSet {
    /// `None` for any authority, and for requests without one.
    patterns: Option<Box<[HostPattern]>>,
}

impl HostSet {
    /// Parses a list; an empty one, and one with `*`, stands for any authority.
    pub(super) fn parse(authorities: &[String]) -> Result<Self, String> {
        let patterns = authorities.iter().filter(|text| *text != "*");
        let patterns: Box<[_]> = patterns
            .map(|it| HostPattern::parse(it))
            .collect::<Result<_, _>>()?;
        let is_any = patterns.len() < authorities.len() || patterns.is_empty();
        Ok(Self {
            patterns: (!is_any).then_some(patterns),
        })
    }

    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.patterns.is_none()
    }

    /// Whether all served requests have the same authority.
    pub(super) fn is_one_authority(&self) -> bool {
        let patterns = self.patterns.as_deref();
        matches!(patterns, Some([only]) if only.is_one_authority())
    }

    pub(crate) fn serves(&self, host: Option<&str>) -> bool {
        self.specificity(host).is_some()
    }

    /// How specific the entry is that an authority matches; `None` if it matches none.
    pub(super) fn specificity(&self, host: Option<&str>) -> Option<Specificity> {
        let Some(patterns) = &self.patterns else {
            return Some(Specificity::default());
        };
        let (name, port) = split_port(host?);
        let matching = patterns
            .iter()
            .filter(|pattern| pattern.matches(name, port));
        matching.map(HostPattern::specificity).max()
    }

    /// Whether both name the same authority.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (&self.patterns, &other.patterns) {
            (Some(own), Some(others)) => own.iter().any(|pattern| others.contains(pattern)),
            (own, others) => own.is_none() && others.is_none(),
        }
    }
}

/// Exact names come after wildcards, longer ones after shorter ones, and one port after any port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity {
    is_exact: bool,
    length: usize,
    has_port: bool,
}

/// `api.example.com`, `*.example.com`, `api.example.com:8443` or `localhost:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPattern {
    /// In lower case; begins with a dot if the names below it match.
    name: Box<str>,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    /// No port.
    Default,
    Any,
    /// This port, and no port if it is the default of `http` or `https`.
    Number(Box<str>),
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (name, port) = split_port(&lower);
        let port = match port {
            None => Some(PortPattern::Default),
            Some("*") => Some(PortPattern::Any),
            Some(number) => {
                let number = number.parse::<u16>().ok().filter(|_| is_number(number));
                number.map(|number| PortPattern::Number(number.to_string().into()))
            }
        };
        let pattern = name
            .strip_prefix('*')
            .filter(|below| below.starts_with('.'));
        let name = pattern.unwrap_or(name);
        let plain = pattern.map_or(name, |below| &below[1..]);
        match port.filter(|_| is_host(plain)) {
            Some(port) => Ok(Self {
                name: name.into(),
                port,
            }),
            None => Err(format!(
                "{text:?} is not an authority; write \"api.example.com\", \"*.example.com\", \"api.example.com:8443\", \"localhost:*\" for any port, or \"*\" for any authority"
            )),
        }
    }

    fn matches(&self, name: &str, port: Option<&str>) -> bool {
        let port_matches = match (&self.port, port) {
            (PortPattern::Default | PortPattern::Any, None) => true,
            (PortPattern::Default, Some(_)) => false,
            (PortPattern::Any, Some(port)) => is_number(port),
            (PortPattern::Number(own), None) => is_default(own),
            (PortPattern::Number(own), Some(port)) => **own == *port,
        };
        port_matches && self.matches_name(name)
    }

    fn matches_name(&self, name: &str) -> bool {
        if !self.name.starts_with('.') {
            return self.name.eq_ignore_ascii_case(name);
        }
        let start = name.len().checked_sub(self.name.len());
        let parts = start.and_then(|start| name.split_at_checked(start));
        parts.is_some_and(|(start, end)| {
            self.name.eq_ignore_ascii_case(end) && start.split('.').all(is_label)
        })
    }

    fn is_one_authority(&self) -> bool {
        let has_one_port = match &self.port {
            PortPattern::Default => true,
            PortPattern::Any => false,
            PortPattern::Number(port) => !is_default(port),
        };
        has_one_port && !self.name.starts_with('.')
    }

    fn specificity(&self) -> Specificity {
        Specificity {
            is_exact: !self.name.starts_with('.'),
            length: self.name.len(),
            has_port: self.port != PortPattern::Any,
        }
    }
}

/// Whether this can be a part of a host between dots. Clients send anything else only as an attack.
fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.bytes().all(is_allowed)
}

/// Splits `api.example.com:8443` and `[::1]:8443` before the port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

fn is_default(port: &str) -> bool {
    matches!(port, "80" | "443")
}

fn is_number(port: &str) -> bool {
    (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host(name: &str) -> bool {
    let is_address = name.starts_with('[') && name.ends_with(']');
    let is_plain = !name.contains(['@', '*']) && (is_address || !name.contains(':'));
    is_plain && !name.starts_with('.') && name.parse::<Authority>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> HostSet {
        let list: Vec<String> = list.iter().map(|&text| text.to_owned()).collect();
        HostSet::parse(&list).expect("valid")
    }

    #[test]
    fn authorities_match_by_name_and_port() {
        for (pattern, served, others) in [
            (
                "api.example.com",
                &["api.example.com", "API.Example.com"][..],
                &[
                    "example.com",
                    "api.example.com.",
                    "api.example.com:80",
                    "api.example.com:",
                    "xapi.example.com",
                    "",
                ][..],
            ),
            (
                "*.Example.com",
                &["a.example.com", "a_1.b-2.example.com", "A.EXAMPLE.COM"],
                &[
                    "example.com",
                    ".example.com",
                    "aexample.com",
                    "a.example.com:8080",
                    "ä.com",
                    "ä.example.com",
                    "a..example.com",
                    ".a.example.com",
                    "x'onmouseover='alert(1)'a='.example.com",
                    "evil.test,a.example.com",
                    "evil.test%2f.example.com",
                    "u@a.example.com",
                    "a:1.example.com",
                ],
            ),
            (
                "localhost:*",
                &["localhost", "localhost:1", "LOCALHOST:65535"],
                &[
                    "localhost:",
                    "localhost:a",
                    "localhost:123456",
                    "localhost:+1",
                    "a.localhost",
                ],
            ),
            ("h:8443", &["h:8443"], &["h", "h:443", "h:08443", "h:84430"]),
            ("h:443", &["h", "h:443"], &["h:80"]),
            ("[::1]", &["[::1]"], &["[::1]:80", "[::2]", "::1"]),
            ("[::1]:*", &["[::1]", "[::1]:3000"], &["[::1", "[::1]:a"]),
            ("*.a:*", &["b.a:1", "b.a"], &["a:1"]),
        ] {
            let hosts = hosts(&[pattern]);
            assert!(!hosts.serves(None));
            for host in served {
                assert!(hosts.serves(Some(host)), "{pattern} {host}");
            }
            for host in others {
                assert!(!hosts.serves(Some(host)), "{pattern} {host}");
            }
        }
        for any in [&[][..], &["*"], &["a", "*"]] {
            assert!(
                hosts(any).serves(None) && hosts(any).serves(Some("b:1")),
                "{any:?}"
            );
        }
    }

    #[test]
    fn malformed_authorities_are_refused() {
        for text in [
            "",
            "http://a/",
            "a/b",
            "u@a",
            "a:b",
            "a:",
            "a:99999",
            "a:+1",
            "*a",
            "**.a",
            "a.*",
            "*.",
            "*.*",
            "::1",
            "a b",
            ":1",
            "*:1",
        ] {
            assert!(HostSet::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let rank = |pattern: &str| hosts(&[pattern]).specificity(Some("a.b.c:1"));
        let patterns = ["*", "*.c:*", "*.c:1", "*.b.c:*", "a.b.c:*", "a.b.c:1"];
        for pair in patterns.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{pair:?}");
        }
    }
}

use super::path::{
    is_ambiguous, is_unusual, normalize_escapes, without_all_parameters, without_dot_segments,
    without_empty_segments, without_nested_percents, without_parameters,
};

/// The paths that servers may read from the path of a request: as received, normalised (RFC 3986
/// section 6.2.2), with or without dot segments, empty segments and parameters (`;…`), with encoded
/// slashes and backslashes as slashes, and before an encoded NUL, `?` or `#`.
///
/// Takes memory only for a path that contains `%`, `\`, `;`, `//` or `/.`.
#[derive(Clone, Debug)]
pub(crate) struct PathReadings<'a> {
    received: &'a str,
    /// The normalised path comes first; empty if it is the path as received.
    others: Vec<String>,
}

impl<'a> PathReadings<'a> {
    #[inline]
    pub(crate) fn of(received: &'a str) -> Self {
        let others = if is_unusual(received) {
            other_readings(received)
        } else {
            Vec::new()
        };
        Self { received, others }
    }

    /// All readings; the path as received comes first.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        std::iter::once(self.received).chain(self.others.iter().map(String::as_str))
    }

    /// The readings by which something may be stored: no response is under a path that is ambiguous
    /// itself, but the application may keep values by the path as received or normalised.
    pub(crate) fn of_stored(&self) -> impl Iterator<Item = &str> + Clone {
        let readings = self.iter().enumerate();
        let stored = readings.filter(|(at, path)| *at < 2 || !is_ambiguous(path));
        stored.map(|(_, path)| path)
    }

    /// The readings of a path that is not plain; the normalised path comes first. Empty if it is plain.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> + Clone {
        self.others.iter().map(String::as_str)
    }

    /// The path without dot segments, empty segments, and escapes of characters that need none.
    pub(crate) fn normalized(&self) -> &str {
        self.others.first().map_or(self.received, String::as_str)
    }
}

#[cold]
fn other_readings(received: &str) -> Vec<String> {
    let escaped = normalize_escapes(received);
    let mut readings = Readings(vec![normal_path(&escaped)]);
    let mut stems = Readings(vec![escaped.clone().into_owned()]);
    stems.push(decoded_repeatedly(&escaped));
    // The parameters of a segment may be removed before or after an encoded slash is decoded.
    for change in [
        without_all_parameters,
        before_end,
        with_slashes,
        without_all_parameters,
    ] {
        for at in 0..stems.0.len() {
            stems.push(change(&stems.0[at]));
        }
    }
    for stem in &stems.0 {
        readings.push_all(stem);
    }
    readings.0
}

/// Paths, each once.
struct Readings(Vec<String>);

impl Readings {
    /// Adds the results of removing dot segments and empty segments, in any order.
    fn push_all(&mut self, path: &str) {
        self.push(path.to_owned());
        self.push(normal_path(path));
        self.push(without_dot_segments(path).into_owned());
        let dense = without_empty_segments(path);
        self.push(without_dot_segments(&dense).into_owned());
        self.push(dense);
    }

    fn push(&mut self, path: String) {
        if !self.0.contains(&path) {
            self.0.push(path);
        }
    }
}

fn normal_path(path: &str) -> String {
    without_empty_segments(&without_dot_segments(path))
}

fn with_slashes(path: &str) -> String {
    path.replace("%2F", "/")
        .replace("%5C", "/")
        .replace('\\', "/")
}

/// The path before a NUL, where programs in C end it, or before a decoded `?` or `#`; without blanks at
/// its end.
fn before_end(path: &str) -> String {
    let ends = ["%00", "%3F", "%23"].into_iter();
    let end = ends.filter_map(|end| path.find(end)).min();
    let mut path = &path[..end.unwrap_or(path.len())];
    while let Some(rest) = path
        .strip_suffix("%20")
        .or_else(|| path.strip_suffix("%09"))
    {
        path = rest;
    }
    path.to_owned()
}

/// Decodes escapes that were escaped again, and removes the parameters of dot segments.
fn decoded_repeatedly(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let nested = part.len() - without_nested_percents(part.as_bytes()).len();
        decoded.push('%');
        decoded.push_str(&part[nested..]);
    }
    let decoded = normalize_escapes(&decoded).into_owned();
    let segments = decoded
        .split('/')
        .map(|segment| match without_parameters(segment) {
            dots @ ("." | "..") => dots,
            _ => segment,
        });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_path_has_one_reading() {
        for path in ["/", "/a/b", "/a/", "/a:b"] {
            let readings = PathReadings::of(path);
            assert_eq!(readings.iter().collect::<Vec<_>>(), [path]);
            assert_eq!(readings.normalized(), path);
        }
    }

    #[test]
    fn an_ambiguous_path_has_the_readings_of_all_servers() {
        for (path, reading) in [
            ("/%6cogin", "/login"),
            ("//login", "/login"),
            ("/./login", "/login"),
            ("/x/../login", "/login"),
            ("/x//../login", "/x/login"),
            ("/x//../login", "/login"),
            ("/x/%2e%2e/login", "/login"),
            ("/x/..%2flogin", "/login"),
            ("/x/..%2flogin", "/x/..%2Flogin"),
            ("/x\\..\\login", "/login"),
            ("/x/..;a/login", "/login"),
            ("/x/%252e%252e%252flogin", "/login"),
            ("/login%00x", "/login"),
            ("/login%zz", "/login%zz"),
            ("/login;x", "/login"),
            ("/login%3Bx", "/login"),
            ("/login%253bx", "/login"),
            ("/;x/login;y=1", "/login"),
            ("/a;x/b;y", "/a/b"),
            ("/x/..%3b%2flogin", "/login"),
            ("/login%2500", "/login"),
            ("/login%3Fx", "/login"),
            ("/login%23x", "/login"),
            ("/login%20", "/login"),
            ("/login%2520%20", "/login"),
            ("/login%20;x", "/login"),
            ("/login;x%3Fa/b", "/login"),
            ("*", "*"),
        ] {
            let readings = PathReadings::of(path);
            assert_eq!(readings.iter().next(), Some(path));
            let all: Vec<_> = readings.iter().collect();
            assert!(all.contains(&reading), "{path}: {all:?}");
        }
        assert_eq!(
            PathReadings::of("/x//../%6c/./a%2f/").normalized(),
            "/x/l/a%2F/"
        );
    }

    proptest! {
        #[test]
        fn the_normalized_path_is_a_reading_and_plain(path in "/(/|\\.|%|\\\\|2|5|e|f|0|a|ä|;){0,24}") {
            let readings = PathReadings::of(&path);
            let normalized = readings.normalized();
            prop_assert!(readings.iter().any(|reading| reading == normalized));
            prop_assert!(readings.iter().count() <= 80);
            prop_assert!(!normalized.contains("//"));
            prop_assert!(normalized.split('/').all(|segment| !matches!(segment, "." | "..")));
        }
    }
}

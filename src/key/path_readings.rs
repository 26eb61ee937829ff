use super::path::{
    is_unusual, normalize_escapes, without_dot_segments, without_empty_segments,
    without_nested_percents, without_parameters,
};

/// The paths that servers may read from the path of a request: as received, normalised (RFC 3986
/// section 6.2.2), with or without dot segments and empty segments, and with encoded slashes and
/// backslashes as slashes.
///
/// Takes memory only for a path that contains `%`, `\`, `//` or `/.`.
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
    let mut readings = Readings(Vec::new());
    let escaped = normalize_escapes(received);
    readings.push(normal_path(&escaped));
    // Programs in C end a path at NUL.
    let before_nul = escaped.split("%00").next().unwrap_or_default();
    for path in [&*escaped, before_nul] {
        readings.push_all(path);
        readings.push_all(&with_slashes(path));
    }
    readings.push_all(&with_slashes(&decoded_repeatedly(&escaped)));
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
        for path in ["/", "/a/b", "/a/", "/a;b"] {
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
            prop_assert!(readings.iter().count() <= 28);
            prop_assert!(!normalized.contains("//"));
            prop_assert!(normalized.split('/').all(|segment| !matches!(segment, "." | "..")));
        }
    }
}

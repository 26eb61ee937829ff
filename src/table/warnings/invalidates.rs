//! Finds names in `invalidates` that no key can have.

use crate::table::{nearest::nearest, problem::FieldProblem, settings::Settings};

/// The names that the keys and tags of a table can have.
pub(super) struct KnownNames<'a> {
    /// The templates of routes' keys, the patterns of values, and one that stands for paths without a
    /// key.
    keys: Vec<ParsedName<'a>>,
    /// The templates of tags.
    tags: Vec<ParsedName<'a>>,
}

impl<'a> KnownNames<'a> {
    pub(super) fn of(settings: &'a Settings) -> Self {
        let (routes, values) = (settings.routes.iter(), settings.values.iter());
        let of_routes = routes.clone().filter_map(|route| route.key.as_deref());
        let of_values = values.map(|value| value.key.as_str());
        let keys = of_routes.chain(of_values).chain(["url:*"]);
        let tags = routes.flat_map(|route| &route.tags);
        Self {
            keys: keys.map(ParsedName::new).collect(),
            tags: tags.map(|tag| ParsedName::new(tag)).collect(),
        }
    }

    /// Reports the names of one route's `invalidates` that no key can have.
    pub(super) fn problems(&self, names: &[String]) -> Vec<FieldProblem> {
        let names = names.iter().map(|name| ParsedName::new(name));
        let unknown = names.filter(|name| !name.is_among(&self.keys));
        unknown
            .map(|name| ("invalidates", self.unknown_message(&name)))
            .collect()
    }

    fn unknown_message(&self, unknown: &ParsedName<'_>) -> String {
        let name = unknown.text;
        if unknown.is_among(&self.tags) {
            return format!(
                "no key can be {name:?}, only a tag, and `invalidates` names keys; name the keys, or call keep.invalidate(Invalidation::tag(...)) in code"
            );
        }
        let (first, rest) = first_segment(name);
        let known = self.keys.iter().map(|known| first_segment(known.text).0);
        let known = known.filter(|known| *known != "url" && *known != first);
        let remedy = match nearest(first, known) {
            Some(meant) => format!("did you mean \"{meant}{rest}\"? If"),
            None => "correct it, or if".to_owned(),
        };
        format!(
            "no key of this table can be {name:?}; {remedy} code caches values under it, write [[value]] key = \"{first}:*\""
        )
    }
}

/// A template or pattern, and its parts.
struct ParsedName<'a> {
    text: &'a str,
    parts: Vec<NamePart>,
}

impl<'a> ParsedName<'a> {
    fn new(text: &'a str) -> Self {
        let parts = parts(text);
        Self { text, parts }
    }

    /// Whether it can be equal to one of these names. `X:*` may stand beside `X` for keys below it that
    /// do not exist yet.
    fn is_among(&self, names: &[Self]) -> bool {
        let below = [NamePart::Byte(b':'), NamePart::Any];
        let above = self.parts.strip_suffix(&below);
        names.iter().any(|name| {
            can_be_equal(&self.parts, &name.parts)
                || above.is_some_and(|above| can_be_equal(above, &name.parts))
        })
    }
}

/// The first segment of a name, and the rest with its colon.
fn first_segment(name: &str) -> (&str, &str) {
    name.split_at(name.find(':').unwrap_or(name.len()))
}

/// A piece of a template or pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NamePart {
    Byte(u8),
    /// A placeholder: text without a colon, because values are encoded.
    Value,
    /// `*`: any text.
    Any,
}

impl NamePart {
    fn is_literal(self) -> bool {
        matches!(self, Self::Byte(_))
    }

    /// Whether a placeholder or `*` can contain this part of another name.
    fn contains(self, other: Self) -> bool {
        self == Self::Any || self == Self::Value && other != Self::Byte(b':')
    }
}

fn parts(template: &str) -> Vec<NamePart> {
    let mut parts = Vec::with_capacity(template.len());
    let mut is_inside = false;
    for byte in template.bytes() {
        match byte {
            b'}' => is_inside = false,
            _ if is_inside => {}
            b'{' => {
                is_inside = true;
                parts.push(NamePart::Value);
            }
            b'*' => parts.push(NamePart::Any),
            _ => parts.push(NamePart::Byte(byte)),
        }
    }
    parts
}

/// Whether one text matches both names.
fn can_be_equal(a: &[NamePart], b: &[NamePart]) -> bool {
    // Most differ at their literal beginning.
    let start = a.iter().zip(b).find(|(x, y)| x != y || !x.is_literal());
    if start.is_some_and(|(x, y)| x.is_literal() && y.is_literal()) {
        return false;
    }
    // row[j]: whether the rest of `a` and the rest of `b` from `j` on can be equal. At first, nothing
    // is left of `a`.
    let can_be_empty = |rest: &[NamePart]| !rest.iter().any(|part| part.is_literal());
    let mut row: Vec<bool> = (0..=b.len()).map(|j| can_be_empty(&b[j..])).collect();
    for &x in a.iter().rev() {
        let after = row.clone();
        row[b.len()] = after[b.len()] && !x.is_literal();
        for (j, &y) in b.iter().enumerate().rev() {
            row[j] = match (x.is_literal(), y.is_literal()) {
                (true, true) => x == y && after[j + 1],
                (true, false) => row[j + 1] || y.contains(x) && after[j],
                (false, true) => after[j] || x.contains(y) && row[j + 1],
                (false, false) => after[j] || row[j + 1],
            };
        }
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_patterns() {
        let equal = |a: &str, b: &str| {
            let (a, b) = (parts(a), parts(b));
            assert_eq!(can_be_equal(&a, &b), can_be_equal(&b, &a));
            can_be_equal(&a, &b)
        };
        for (name, key) in [
            ("engagement:{id}", "engagement:{id}"),
            ("engagement:{id}:*", "engagement:{id}:tasks:{task}"),
            ("engagement:*", "engagement:{id}"),
            ("engagement:42", "engagement:{id}"),
            ("dashboard:*:stats", "dashboard:{org}:stats"),
            ("dash*", "dashboard:{org}:stats"),
            ("*", "a:b"),
            ("{id}:x", "a:x"),
            ("a", "a"),
            ("a*b", "a{x}c{y}b"),
            ("a:{x}", "a:*"),
        ] {
            assert!(equal(name, key), "{name} {key}");
        }
        for (name, key) in [
            ("dashbord:*", "dashboard:{org}:stats"),
            ("engagement:*:task", "engagement:{id}:tasks"),
            ("engagement_list", "engagement:{id}"),
            ("a:*", "a"),
            ("a", "a:b"),
            ("*:x", "a:{id}:y"),
            ("engagement:{id}:tasks", "engagement:{id}"),
        ] {
            assert!(!equal(name, key), "{name} {key}");
        }
    }
}

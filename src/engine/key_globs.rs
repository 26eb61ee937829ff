//! Redis globs that match the full keys of a pattern.

use crate::key::glob::matches_glob;

/// The Redis globs that match the keys of a pattern.
#[derive(Debug)]
pub(super) struct KeyGlobs {
    /// Match full keys, with and without variations.
    pub(super) entries: Vec<String>,
    /// Match the keys of plain values. Redis also holds counters and the strings of other programs, so
    /// that a pattern as wide as `*` must remove only keys of plain entities.
    pub(super) plain: Vec<String>,
}

impl KeyGlobs {
    pub(super) fn new(pattern: &str, plain_entities: &[Box<str>]) -> Self {
        let entries = with_variations(pattern);
        let roots = plain_entities
            .iter()
            .filter_map(|entity| entity.split(':').next());
        let mut plain: Vec<_> = roots.flat_map(|root| within(root, &entries)).collect();
        plain.sort_unstable();
        plain.dedup();
        Self { entries, plain }
    }

    pub(super) fn matches(&self, key: &str) -> bool {
        self.entries.iter().any(|glob| matches_glob(glob, key))
    }
}

fn with_variations(pattern: &str) -> Vec<String> {
    let mut globs = vec![pattern.to_owned()];
    // An escaped star at the end matches only itself.
    if !pattern.ends_with('*') || pattern.ends_with("\\*") {
        globs.push(format!("{pattern}{VARIATIONS}"));
    }
    globs
}

/// The globs that may match keys of entities below `root`; a plain prefix is restricted to them.
fn within(root: &str, globs: &[String]) -> Vec<String> {
    let pattern = globs.first().map_or("", |glob| glob.as_str());
    let literal = &pattern[..pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len())];
    let rest = &pattern[literal.len()..];
    let is_prefix = !rest.is_empty() && rest.bytes().all(|byte| byte == b'*');
    if is_prefix && root.starts_with(literal) {
        return vec![
            root.to_owned(),
            format!("{root}{VARIATIONS}"),
            format!("{root}:*"),
        ];
    }
    let is_below_root = literal
        .strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '~', '@', '?', '#']));
    if is_below_root || root.starts_with(literal) {
        return globs.to_vec();
    }
    Vec::new()
}

/// Matches the variations that follow a key: version, user, query and variant.
const VARIATIONS: &str = "[~@?#]*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_keys_with_all_their_variations() {
        let matches = |pattern: &str, key: &str| KeyGlobs::new(pattern, &[]).matches(key);
        for full in [
            "a:1",
            "a:1~2.7",
            "a:1@u",
            "a:1?page=2",
            "a:1#0f",
            "a:1@u?q=1#0f",
        ] {
            assert!(matches("a:1", full), "{full}");
            assert!(matches("a:1*", full), "{full}");
            assert!(matches("*:1", full), "{full}");
        }
        assert!(!matches("a:1", "a:12"));
        assert!(!matches("a:1", "a:1:b"));
        assert!(!matches("*:1", "a:1:b"));
        assert!(matches("a\\*", "a*@u"));
    }

    #[test]
    fn a_wide_pattern_removes_only_plain_values() {
        let plain = |pattern: &str| KeyGlobs::new(pattern, &["config".into()]).plain;
        assert_eq!(plain("*"), ["config", "config:*", "config[~@?#]*"]);
        assert_eq!(plain("con*").len(), 3);
        assert_eq!(plain("config:a*"), ["config:a*"]);
        assert_eq!(plain("config:a"), ["config:a", "config:a[~@?#]*"]);
        assert_eq!(plain("engagement:*"), [""; 0]);
    }
}

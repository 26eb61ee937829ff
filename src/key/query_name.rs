//! Names of query parameters that a server may take for other names.
//!
//! Frameworks read `Page`, ` page`, `page[]` or `page[0]` as `page`. If only `page` is part of the key,
//! and the others are ignored, a response to one of them could answer the request for another.

use smallvec::SmallVec;

use super::encode;

/// The names of the parameters that are part of a key, if all others are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListedNames {
    names: Box<[Box<str>]>,
    /// The names as [`fold`] writes them.
    folded: Box<[FoldedName]>,
}

impl ListedNames {
    pub(crate) fn new(names: impl IntoIterator<Item = Box<str>>) -> Self {
        let names: Box<[_]> = names.into_iter().collect();
        let folded = names.iter().map(|name| fold(name.bytes()));
        Self {
            folded: folded.collect(),
            names,
        }
    }

    /// Whether the query has a parameter that is not listed, but that a server may read as a listed
    /// one.
    #[inline]
    pub(crate) fn is_ambiguous(&self, query: &str) -> bool {
        !self.names.is_empty() && query.split('&').any(|pair| self.is_lookalike(name(pair)))
    }

    fn is_lookalike(&self, name: &str) -> bool {
        if self.names.iter().any(|listed| is_spelled(name, listed)) {
            return false;
        }
        let seen = fold(encode::form_bytes(name));
        self.folded.iter().any(|listed| is_read_as(&seen, listed))
    }
}

/// The name of a parameter, as in the query.
pub(super) fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Whether `name` is `wanted`, of which only reserved characters may be escaped.
pub(super) fn is_spelled(name: &str, wanted: &str) -> bool {
    name == wanted
        || encode::form_bytes(name).eq(wanted.bytes()) && !encode::escapes_unreserved(name)
}

/// Most names need no allocation.
type FoldedName = SmallVec<[u8; 32]>;

/// Writes a decoded name in lower case, without what servers remove: surrounding blanks, everything
/// after a zero byte, `[` and `?` at the beginning, and `[]` or an unopened `]` at the end. PHP replaces blanks and dots in names by `_`.
fn fold(name: impl Iterator<Item = u8>) -> FoldedName {
    let bytes = name.take_while(|byte| *byte != 0);
    let mut folded: FoldedName = bytes
        .skip_while(|byte| is_blank(*byte) || matches!(byte, b'[' | b'?'))
        .map(|byte| byte.to_ascii_lowercase())
        .collect();
    let mut end = folded.len();
    loop {
        end = match &folded[..end] {
            [.., b'[', b']'] => end - 2,
            [.., last] if is_blank(*last) => end - 1,
            _ => break,
        };
    }
    folded.truncate(end);
    // A bracket that no other one opens.
    while folded.last() == Some(&b']') && !folded.contains(&b'[') {
        folded.pop();
    }
    for byte in &mut folded {
        if is_blank(*byte) || *byte == b'.' {
            *byte = b'_';
        }
    }
    folded
}

fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// Whether a server may read one name as the other. An index, as in `page[0]`, makes no difference
/// unless the listed name has one, too.
fn is_read_as(seen: &[u8], listed: &[u8]) -> bool {
    let without_index = || seen.split(|byte| *byte == b'[').next();
    seen == listed || !listed.contains(&b'[') && without_index() == Some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(listed: &str, query: &str) -> bool {
        ListedNames::new([listed.into()]).is_ambiguous(query)
    }

    #[test]
    fn a_listed_name_is_not_ambiguous() {
        for (listed, query) in [
            ("page", "page=2"),
            ("page", "x=1&page&page=3"),
            ("f[x]", "f[x]=1"),
            ("f[x]", "f%5Bx%5d=1"),
            ("a b", "a+b=1"),
            ("a b", "a%20b=1"),
            ("Page", "Page=1"),
            ("é", "%c3%a9=1"),
        ] {
            assert!(!is_ambiguous(listed, query), "{listed} {query}");
        }
        let both = ListedNames::new(["page".into(), "Page".into()]);
        assert!(!both.is_ambiguous("page=1&Page=2"));
        assert!(both.is_ambiguous("PAGE=1"));
    }

    #[test]
    fn other_spellings_of_a_listed_name_are_ambiguous() {
        for (listed, query) in [
            ("page", "PAGE=2"),
            ("page", "%70age=2"),
            ("page", "x&%09+page%20[]=2"),
            ("page", "page[0][a]"),
            ("page", "page%00[=1"),
            ("page", "[page]=2"),
            ("page", "%5Bpage%5D=2"),
            ("page", "page]=2"),
            ("page", "??page=2"),
            ("user_id", "user.id=1"),
            ("user_id", "user+id=1"),
            ("user.id", "user_id=1"),
            ("ids[]", "ids=1"),
            ("ids[]", "ids[7]=1"),
            ("f[x]", "f[x][]=1"),
            ("f[x]", "f[%78]=1"),
        ] {
            assert!(is_ambiguous(listed, query), "{listed} {query}");
        }
    }

    #[test]
    fn other_names_are_not_ambiguous() {
        for (listed, query) in [
            ("page", ""),
            ("page", "=&&=page&pages=1&pag=1&[]=1&a[page]=1&%=1&x=page"),
            ("f[x]", "f[y]=1&f=1&f[]=1"),
        ] {
            assert!(!is_ambiguous(listed, query), "{listed} {query}");
        }
        assert!(!ListedNames::default().is_ambiguous("page=1"));
    }
}

//! Redis globs (`*`, `?`, `[a-z]`, `[^a]`, `\`), matched by bytes.

/// The longest glob, in bytes.
pub(crate) const MAX_PATTERN: usize = 1024;

/// How many globs are matched exactly at the same time; older ones are widened to their literal prefix.
pub(crate) const MAX_GLOBS: usize = 64;

/// The part before the first wildcard or escape. As a prefix it matches at least the keys of the glob.
pub(crate) fn literal_prefix(glob: &str) -> &str {
    let end = glob.find(['*', '?', '[', '\\']).unwrap_or(glob.len());
    &glob[..end]
}

/// Whether the glob matches the whole text.
///
/// Backtracks only to the last `*`, so the cost is at most the product of the lengths.
pub(crate) fn matches_glob(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = if glob.get(at) == Some(&b'*') {
            star = Some((at + 1, pos));
            Some((at + 1, pos))
        } else if pos == text.len() {
            if at == glob.len() {
                return true;
            }
            None
        } else {
            match_one(&glob[at..], text[pos]).map(|used| (at + used, pos + 1))
        };
        match (step, star) {
            (Some(next), _) => (at, pos) = next,
            // Let the last `*` match one more byte.
            (None, Some((after, from))) if from < text.len() => {
                star = Some((after, from + 1));
                (at, pos) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// The length of the glob's first element, if it matches `byte`.
fn match_one(glob: &[u8], byte: u8) -> Option<usize> {
    match glob {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (used, matched) = match_class(class, byte);
            matched.then_some(used + 1)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// The length of a class after its `[`, and whether it contains `byte`. As in Redis, a class that
/// is not closed ends with the glob, and `z-a` is `a-z`.
fn match_class(class: &[u8], byte: u8) -> (usize, bool) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => return (at, found != negated),
            [b']', ..] => return (at + 1, found != negated),
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                at += 3;
            }
            [single, ..] => {
                found |= *single == byte;
                at += 1;
            }
        }
    }
}

//! From a path to the slot of its routes, and the values of its parameters.

use std::{collections::HashMap, fmt, ops::Range};

use matchit::InsertError;
use smallvec::SmallVec;

use super::path;
use crate::key::buf::every;

/// Where in a path the values of its parameters stand, in their order.
pub(super) type Params = SmallVec<[Range<usize>; 2]>;

/// The routes' paths, and a shorter way to those that end in their only parameter.
#[derive(Debug, Default)]
pub(super) struct Router {
    tree: matchit::Router<usize>,
    /// The shortest first.
    ends: Vec<Ends>,
    /// With which bytes, behind the slash, a path may begin that leads anywhere.
    firsts: Firsts,
}

impl Router {
    /// Adds a path in its canonical form.
    pub(super) fn insert(&mut self, shape: &str, slot: usize) -> Result<(), InsertError> {
        self.tree.insert(shape, slot)?;
        self.firsts.add(shape);
        Ok(())
    }

    /// Finds the paths that the shorter way may lead to: no other path begins as they do, so that
    /// the tree could lead nowhere else.
    pub(super) fn shorten(&mut self, shapes: &HashMap<String, usize>) {
        for (shape, slot) in shapes {
            let Some(start) = before_last(shape) else {
                continue;
            };
            if shapes.keys().filter(|s| s.starts_with(start)).count() == 1 {
                self.add_end(start, *slot);
            }
        }
    }

    fn add_end(&mut self, start: &str, slot: usize) {
        let length = start.len();
        let at = self.ends.partition_point(|ends| ends.length < length);
        if self.ends.get(at).is_none_or(|ends| ends.length != length) {
            let starts = Vec::new();
            self.ends.insert(at, Ends { length, starts });
        }
        let starts = &mut self.ends[at].starts;
        let at = starts.partition_point(|(other, _)| **other < *start);
        starts.insert(at, (start.into(), slot));
    }

    #[inline]
    pub(super) fn at(&self, path: &str) -> Option<(usize, Params)> {
        if !self.firsts.may_begin(path) {
            return None;
        }
        self.by_end(path).or_else(|| self.by_tree(path))
    }

    #[inline]
    fn by_end(&self, path: &str) -> Option<(usize, Params)> {
        for ends in &self.ends {
            let (start, last) = path.split_at_checked(ends.length)?;
            if start.ends_with('/')
                && let Some(slot) = ends.slot(start)
            {
                // No other start is the beginning of this path, too.
                let place = start.len()..path.len();
                return is_segment(last)
                    .then(|| (slot, Params::from_buf_and_len([place, 0..0], 1)));
            }
        }
        None
    }

    fn by_tree(&self, path: &str) -> Option<(usize, Params)> {
        let found = self.tree.at(path).ok()?;
        let params = found.params.iter().map(|(_, value)| place(value, path));
        Some((*found.value, params.collect()))
    }
}

/// What stands before the parameter, of paths where that is equally long.
#[derive(Debug)]
struct Ends {
    length: usize,
    /// With its slot, in order.
    starts: Vec<(Box<str>, usize)>,
}

impl Ends {
    #[inline]
    fn slot(&self, start: &str) -> Option<usize> {
        let found = match &*self.starts {
            [one] => (*one.0 == *start).then_some(one),
            many => {
                let at = many.binary_search_by(|(other, _)| (**other).cmp(start));
                at.ok().map(|at| &many[at])
            }
        };
        found.map(|(_, slot)| *slot)
    }
}

/// What stands before the only parameter of a path that ends in it.
fn before_last(shape: &str) -> Option<&str> {
    let start = shape.strip_suffix(&format!("{{{}}}", path::canonical(0)))?;
    let plain = start.ends_with('/') && !start.contains(['{', '}']);
    plain.then_some(start)
}

#[inline]
fn is_segment(text: &str) -> bool {
    !text.is_empty() && every(text.as_bytes(), |byte| byte != b'/')
}

/// The second bytes of all routes' paths: most paths that lead nowhere are told by theirs.
struct Firsts([bool; 256]);

impl Firsts {
    fn add(&mut self, shape: &str) {
        match shape.as_bytes().get(1) {
            // It may be any byte, or escape a brace.
            Some(b'{' | b'}') => self.0.fill(true),
            Some(byte) => self.0[usize::from(*byte)] = true,
            None => {}
        }
    }

    fn may_begin(&self, path: &str) -> bool {
        let second = path.as_bytes().get(1);
        second.is_none_or(|byte| self.0[usize::from(*byte)])
    }
}

impl Default for Firsts {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl fmt::Debug for Firsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = (0..=u8::MAX).filter(|byte| self.0[usize::from(*byte)]);
        f.debug_set().entries(bytes.map(char::from)).finish()
    }
}

fn place(part: &str, whole: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(shapes: &[String]) -> Router {
        let mut router = Router::default();
        let mut slots = HashMap::new();
        for (slot, shape) in shapes.iter().enumerate() {
            if router.insert(shape, slot).is_ok() {
                slots.insert(shape.clone(), slot);
            }
        }
        router.shorten(&slots);
        router
    }

    #[test]
    fn the_shorter_way_is_there_where_nothing_else_begins_so() {
        let shapes = ["/a/{p0}", "/b/{p0}", "/b/new", "/c/{p0}/d", "/{p0}/a"];
        let router = router(&shapes.map(str::to_owned));
        let short = |path: &'static str| {
            let (slot, params) = router.by_end(path)?;
            Some((slot, &path[params[0].clone()]))
        };
        assert_eq!(short("/a/1"), Some((0, "1")));
        for path in ["/b/1", "/b/new", "/c/1", "/a/", "/a/1/", "/a", "a", ""] {
            assert_eq!(short(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_may_begin_as_any_route_does() {
        let leads = |shape: &str, path: &str| router(&[shape.to_owned()]).at(path).is_some();
        let shapes = [
            ("/", "/"),
            ("/{p0}", "/x"),
            ("/{*p0}", "/\u{e9}/x"),
            ("/{{x}}", "/{x}"),
            ("/x{p0}", "/xy"),
        ];
        for (shape, path) in shapes {
            assert!(leads(shape, path), "{path} of {shape}");
        }
        assert!(!leads("/x", "/y"));
        assert!(!leads("/x", "/"));
    }

    fn shape() -> impl Strategy<Value = String> {
        let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just(""), Just("{p}")];
        let last = prop_oneof![Just(""), Just("/{*p}")];
        (prop::collection::vec(segment, 1..4), last).prop_map(|(segments, last)| {
            let path = format!("/{}{last}", segments.join("/"));
            let mut number = 0;
            path.split('p').fold(String::new(), |mut shape, part| {
                if !shape.is_empty() {
                    shape += &path::canonical(number);
                    number += 1;
                }
                shape + part
            })
        })
    }

    proptest! {
        #[test]
        fn both_ways_lead_to_the_same_place(
            shapes in prop::collection::vec(shape(), 1..6),
            paths in prop::collection::vec("(/(a|b|ab|c|)){1,4}", 1..16),
        ) {
            let router = router(&shapes);
            for path in &paths {
                prop_assert_eq!(router.at(path), router.by_tree(path), "{} of {:?}", path, shapes);
            }
        }
    }
}

//! The database's items, and views of them.

use std::fmt;

/// Two groups of three items.
pub(super) const GROUPS: usize = 2;
pub(super) const OF_GROUP: usize = 3;
pub(super) const ITEMS: usize = GROUPS * OF_GROUP;

/// How long a process trusts its proof of freshness.
pub(super) const MAX_LAG_MILLIS: u64 = 1000;

/// How long a declared write may take: longer than the checker ever stops a process.
pub(super) const LONGEST_WRITE_MILLIS: u64 = 8000;

/// The `[store]` settings while faults are injected.
pub(super) const STRICT: &str = "max_lag = '1s'\ndeadline = '100ms'";

/// The `[store]` settings of tests that must not fail on a busy machine.
pub(super) const PATIENT: &str = "max_lag = '60s'\ndeadline = '5s'";

pub(super) fn table(store: &str) -> String {
    format!("unlisted = 'pass'\n[store]\n{store}\n{ROUTES}")
}

/// The routes of every process. A write also names `write:TOKEN`, a key without an entry: a process
/// that receives it has applied the write's invalidation. Write-through names it in a field of its
/// response, as the token must not be part of the key.
const ROUTES: &str = r#"
[[route]]
path = "/groups/{g}/items/{i}"
key = "item:{g}:{i}"
scope = "public"
tags = ["group-{g}"]
invalidates = ["item:{g}:{i}", "group:{g}:*", "value:{g}:{i}", "board:*:{i}:view", "through:{g}:{i}", "answered:{g}:{i}", "write:{query.write}"]

[[route]]
path = "/brief/{g}/{i}"
key = "brief:{g}:{i}"
scope = "public"

[[route]]
path = "/groups/{g}"
key = "group:{g}:list"
scope = "public"
tags = ["group-{g}"]

[[route]]
path = "/declared/{g}/{i}"
key = "declared:{g}:{i}"
scope = "public"
before = true
invalidates = ["item:{g}:{i}", "group:{g}:*", "value:{g}:{i}", "board:*:{i}:view", "through:{g}:{i}", "answered:{g}:{i}", "write:{query.write}"]

[[route]]
path = "/through/{g}/{i}"
key = "through:{g}:{i}"
scope = "public"
tags = ["group-{g}"]
ignore_query = ["write"]
write = "through"
invalidates = ["item:{g}:{i}", "group:{g}:*", "value:{g}:{i}", "board:*:{i}:view", "answered:{g}:{i}"]

[[route]]
path = "/answered/{g}/{i}"
key = "answered:{g}:{i}"
scope = "public"
tags = ["group-{g}"]
ignore_query = ["write"]
write = "through"
through = "answer"
invalidates = ["item:{g}:{i}", "group:{g}:*", "value:{g}:{i}", "board:*:{i}:view", "through:{g}:{i}"]
"#;

/// How many views contain an item.
pub(super) const KINDS: usize = 6;

/// An entry of `CacheLayer` or of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum View {
    /// A response whose body comes in chunks.
    Item(usize),
    /// A response with all items of a group.
    List(usize),
    /// A value with the group's tag.
    Value(usize),
    /// A value matched by a wildcard in the middle of the pattern.
    Board(usize),
    /// A response replaced by another GET after a write.
    Through(usize),
    /// A response replaced by the response of a write.
    Answered(usize),
}

impl View {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of_item = |item| (0..KINDS - 1).map(move |choice| Self::of(item, choice));
        let lists = (0..GROUPS).map(Self::List);
        (0..ITEMS).flat_map(of_item).chain(lists)
    }

    /// A random view that contains `item`.
    pub(super) fn of(item: usize, choice: usize) -> Self {
        match choice % KINDS {
            0 => Self::Item(item),
            1 => Self::Value(item),
            2 => Self::Board(item),
            3 => Self::Through(item),
            4 => Self::Answered(item),
            _ => Self::List(item / OF_GROUP),
        }
    }

    /// The items it contains, in the order of its body.
    pub(super) fn items(self) -> Vec<usize> {
        match self {
            Self::Item(item)
            | Self::Value(item)
            | Self::Board(item)
            | Self::Through(item)
            | Self::Answered(item) => vec![item],
            Self::List(group) => (group * OF_GROUP..(group + 1) * OF_GROUP).collect(),
        }
    }
}

/// The path of its GET.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, item) = match self {
            Self::List(group) => return write!(f, "/groups/{group}"),
            Self::Item(item) => {
                return write!(f, "/groups/{}/items/{}", item / OF_GROUP, item % OF_GROUP);
            }
            Self::Value(item) => ("values", item),
            Self::Board(item) => ("boards", item),
            Self::Through(item) => ("through", item),
            Self::Answered(item) => ("answered", item),
        };
        write!(f, "/{prefix}/{}/{}", item / OF_GROUP, item % OF_GROUP)
    }
}

/// How a write invalidates what it replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteKind {
    /// `InvalidateLayer`, by the `invalidates` of the table.
    Route,
    /// [`Route`](Self::Route), with `before = true`.
    Declared,
    Keys,
    Tag,
    Patterns,
    Entities,
    Versions,
    Everything,
    /// `Keep::write` around the change.
    Around,
    /// Write-through by another GET.
    Through,
    /// Write-through by the write's own response.
    Answered,
}

impl WriteKind {
    pub(super) const ALL: [Self; 11] = [
        Self::Route,
        Self::Declared,
        Self::Keys,
        Self::Tag,
        Self::Patterns,
        Self::Entities,
        Self::Versions,
        Self::Everything,
        Self::Around,
        Self::Through,
        Self::Answered,
    ];

    pub(super) fn path(self, item: usize, token: u64) -> String {
        let (group, own) = (item / OF_GROUP, item % OF_GROUP);
        match self {
            Self::Route => format!("/groups/{group}/items/{own}?write={token}"),
            Self::Declared => format!("/declared/{group}/{own}?write={token}"),
            Self::Through => format!("/through/{group}/{own}?write={token}"),
            Self::Answered => format!("/answered/{group}/{own}?write={token}"),
            _ => format!("/app/{group}/{own}?write={token}&how={self:?}"),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| format!("{how:?}") == text)
    }
}

//! `#[cached]` and `#[invalidates]`.

use std::{
    fmt::Display,
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tower_keep::{Keep, Key, Table, cached, invalidates, keep::TimeLeft, table::secs};

use crate::common::keeps::new_keep;

static CALLS: AtomicU32 = AtomicU32::new(0);

fn keep() -> Keep {
    new_keep(Table::new().jitter(0.0))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Engagement {
    id: u32,
    name: String,
}

/// A service with a keep and a count of its calls.
struct Engagements {
    keep: Keep,
    calls: AtomicU32,
}

struct Request {
    org: String,
}

impl Engagements {
    fn new() -> Self {
        Self {
            keep: keep(),
            calls: AtomicU32::new(0),
        }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Documentation is kept.
    #[cached(key = "engagement:{id}", ttl = "30m", tags = ["org:{request.org}"])]
    async fn get(&self, request: &Request, id: u32) -> Result<Engagement, io::Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let name = request.org.clone();
        if id == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Engagement { id, name })
    }

    #[cached(
        prefix = "search",
        ttl = 5,
        condition = "|hits: &Vec<String>| !hits.is_empty()"
    )]
    async fn search(&self, query: &str, limit: usize) -> io::Result<Vec<String>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(vec![query.to_owned(); limit])
    }

    #[cached(key = "user:{id}", cache_none = "30s")]
    async fn user(&self, id: u32) -> Option<String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (id == 1).then(|| "Ada".to_owned())
    }

    #[invalidates("engagement:{id}", "engagement:{id}:*", "dashboard:*:engagement_list")]
    async fn rename(&self, id: &str) -> Result<(), io::Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match id {
            "0" => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_method_is_called_once_for_each_key() {
    let service = Engagements::new();
    let request = Request {
        org: "org-7".to_owned(),
    };
    for _ in 0..2 {
        let one = service.get(&request, 1).await.expect("found");
        assert_eq!((one.id, &*one.name), (1, "org-7"));
    }
    assert_eq!(service.calls(), 1);
    let key = Key::new("engagement").id(1);
    assert_eq!(
        service
            .keep
            .ttl(&key)
            .await
            .duration()
            .map(|left| left > secs(1700)),
        Some(true)
    );
    let stored = service
        .keep
        .get::<Engagement>(&key)
        .await
        .expect("it is one");
    assert_eq!(stored.map(|stored| stored.id), Some(1));
    for _ in 0..2 {
        let error = service.get(&request, 0).await.expect_err("not found");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(service.calls(), 3, "errors are not stored");
    let tag = tower_keep::keep::Invalidation::tag("org:org-7");
    service.keep.invalidate([tag]).await.expect("invalidated");
    assert_eq!(service.keep.ttl(&key).await, TimeLeft::Missing);
}

#[tokio::test]
async fn a_prefix_hashes_the_other_arguments() {
    let service = Engagements::new();
    for (query, limit, calls) in [("a", 1, 1), ("a", 1, 1), ("a", 2, 2), ("b", 1, 3)] {
        let hits = service.search(query, limit).await.expect("hits");
        assert_eq!(
            (hits, service.calls()),
            (vec![query.to_owned(); limit], calls)
        );
    }
    let key = Key::new("search").hash(&("a", 1));
    assert!(service.keep.exists(&key).await);
    // Nothing is stored without hits.
    for calls in [4, 5] {
        assert!(service.search("a", 0).await.expect("no hits").is_empty());
        assert_eq!(service.calls(), calls);
    }
}

#[tokio::test]
async fn none_is_stored_for_its_own_time() {
    let service = Engagements::new();
    for (id, calls) in [(1, 1), (1, 1), (2, 2), (2, 2)] {
        assert_eq!(service.user(id).await.is_some(), id == 1);
        assert_eq!(service.calls(), calls);
    }
}

#[tokio::test]
async fn a_write_invalidates_keys_and_patterns_also_after_an_error() {
    let service = Engagements::new();
    for id in ["42", "0", "4*"] {
        let keys = [
            Key::new("engagement").id(id),
            Key::new("engagement").id(id).sub("tasks"),
            Key::new("dashboard").id(7).sub("engagement_list"),
        ];
        let other = Key::new("engagement").id("421").sub("tasks");
        for key in keys.iter().chain([&other]) {
            service.keep.set(key, &1).await.expect("JSON");
        }
        assert_eq!(service.rename(id).await.is_err(), id == "0");
        for key in &keys {
            assert!(!service.keep.exists(key).await, "{key}");
        }
        assert!(service.keep.exists(&other).await);
    }
}

#[cached(key = "pair:{left}:{right}", keep = "&holder.0")]
async fn pair<'a, T>(holder: &'a (Keep, u32), left: &'a str, right: T) -> (String, T)
where
    T: Display + Serialize + DeserializeOwned,
{
    let _ = holder.1;
    CALLS.fetch_add(1, Ordering::SeqCst);
    (left.to_owned(), right)
}

#[tokio::test]
async fn functions_with_generics_and_lifetimes_are_cached() {
    let holder = (keep(), 0);
    for _ in 0..2 {
        assert_eq!(pair(&holder, "a", 7).await, ("a".to_owned(), 7));
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
}

#[cached(key = "depth:{n}")]
async fn depth(keep: &Keep, n: u32) -> u32 {
    match n {
        0 => 0,
        n => 1 + Box::pin(depth(keep, n - 1)).await,
    }
}

/// A call for the same key from within: the function runs again, as without the attribute.
#[cached(key = "twice:1")]
async fn twice(keep: &Keep, again: bool) -> u32 {
    match again {
        true => 1 + Box::pin(twice(keep, false)).await,
        false => 1,
    }
}

#[tokio::test]
async fn cached_functions_may_call_themselves() {
    let keep = keep();
    assert_eq!(depth(&keep, 5).await, 5);
    assert!(keep.exists(&Key::new("depth").id(3)).await);
    assert_eq!(twice(&keep, true).await, 2);
}

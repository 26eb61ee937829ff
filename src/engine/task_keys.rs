//! The keys whose results the current task is making: a request for one of them must not wait for its
//! own result.

use std::{future::Future, sync::Arc};

use super::single_flight::SingleFlight;

/// A key in progress, and those outside of it: the innermost first.
#[derive(Clone)]
struct KeyInProgress(Arc<Link>);

struct Link {
    /// The address of the flights, which tells keeps, and responses from values, apart.
    flights: usize,
    key: Box<str>,
    outer: Option<KeyInProgress>,
}

tokio::task_local! {
    static INNERMOST: KeyInProgress;
}

/// Does the work that makes the result of `key`. A task that the work spawns does not know the key.
pub(crate) async fn making<T, F: Future>(
    flights: &Arc<SingleFlight<T>>,
    key: &str,
    work: F,
) -> F::Output {
    let link = Link {
        flights: address(flights),
        key: key.into(),
        outer: INNERMOST.try_with(Clone::clone).ok(),
    };
    INNERMOST.scope(KeyInProgress(Arc::new(link)), work).await
}

/// Whether the caller is part of the work that makes the result of `key`.
pub(crate) fn is_making<T>(flights: &Arc<SingleFlight<T>>, key: &str) -> bool {
    let innermost = INNERMOST.try_with(Clone::clone).ok();
    let mut next = innermost.as_ref();
    while let Some(KeyInProgress(link)) = next {
        if link.flights == address(flights) && &*link.key == key {
            return true;
        }
        next = link.outer.as_ref();
    }
    false
}

fn address<T>(flights: &Arc<SingleFlight<T>>) -> usize {
    Arc::as_ptr(flights).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_of_a_task_knows_all_keys_around_it() {
        let (flights, others) = (SingleFlight::<()>::new(), SingleFlight::<()>::new());
        assert!(!is_making(&flights, "a"));
        making(&flights, "a", async {
            making(&others, "b", async {
                assert!(is_making(&flights, "a") && is_making(&others, "b"));
                assert!(!is_making(&flights, "b") && !is_making(&others, "a"));
            })
            .await;
            assert!(is_making(&flights, "a") && !is_making(&others, "b"));
            let flights = Arc::clone(&flights);
            let spawned = tokio::spawn(async move { is_making(&flights, "a") });
            assert!(!spawned.await.expect("no panic"));
        })
        .await;
        assert!(!is_making(&flights, "a"));
    }

    #[tokio::test]
    async fn work_beside_it_in_the_same_task_does_not_know_the_key() {
        let flights = SingleFlight::<()>::new();
        let work = making(&flights, "a", tokio::task::yield_now());
        let beside = async { is_making(&flights, "a") };
        let ((), is_known) = tokio::join!(work, beside);
        assert!(!is_known);
    }
}

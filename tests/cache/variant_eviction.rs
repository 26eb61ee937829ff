//! Which variants of a key are dropped when there are too many.

use tower_keep::{Keep, cache::Cache};

use crate::common::{
    client::{request, send},
    keeps::{engagements, new_keep},
    origin::{Origin, cached, response},
};

fn by_language() -> Origin {
    Origin::new(|_, _| {
        let fields = [("vary", "accept-language"), ("content-language", "en")];
        response(200, &fields, "content")
    })
}

async fn status(service: &Cache<Origin>, language: &str) -> String {
    let fields = [("accept-language", language)];
    let response = send(service, request("GET", "/engagements/1", &fields)).await;
    response.cache_status().to_owned()
}

/// Requests so many unusual variants, and "en, de" from time to time, through these keeps in turn.
/// Returns how often "en, de" was not a hit.
async fn misses_among_strangers(keeps: &[Keep], strangers: usize) -> usize {
    let origin = by_language();
    let services: Vec<_> = keeps.iter().map(|keep| cached(keep, &origin)).collect();
    status(&services[0], "en, de").await;
    let mut misses = 0;
    for stranger in 0..strangers {
        // None of them prefers one language to all others.
        let service = &services[stranger % services.len()];
        let unusual = format!("x-{stranger}, y-{stranger}");
        assert!(status(service, &unusual).await.contains("stored"));
        if stranger % 20 == 0 {
            let service = &services[stranger / 20 % services.len()];
            misses += usize::from(!status(service, "en, de").await.contains("hit"));
        }
    }
    misses
}

#[tokio::test]
async fn a_variant_in_use_survives_a_thousand_unusual_ones() {
    let keep = new_keep(engagements());
    assert_eq!(misses_among_strangers(&[keep], 1000).await, 0);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_variant_in_use_survives_unusual_ones_of_all_processes() {
    use crate::{
        common::keeps::redis_keep,
        support::{RedisServer, Reply},
    };

    let server = RedisServer::start();
    let keeps = [
        redis_keep(server.url(), engagements()).await,
        redis_keep(server.url(), engagements()).await,
    ];
    assert_eq!(misses_among_strangers(&keeps, 300).await, 0);
    // Dropped variants do not stay in Redis: the list, and at most 64 variants.
    match server.command(&["KEYS", "engagement:1*"]) {
        Reply::Array(keys) => assert!(keys.len() <= 65, "{} keys", keys.len()),
        other => panic!("{other:?}"),
    }
}

//! `Prefer`: answering at once, and waiting for the service's answer.

use tokio::time::Instant;

use super::kit::{accepted_id, origin, queueing, volatile_keep, write};
use crate::common::client::{TestResponse, send};

async fn preferring(preference: &str) -> (TestResponse, u64) {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let start = Instant::now();
    let post = write(
        "POST",
        "/agents/7/activity",
        &[("prefer", preference)],
        "{}",
    );
    let response = send(&service, post).await;
    accepted_id(&response);
    (response, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn respond_async_is_confirmed() {
    let (response, waited) = preferring("respond-async").await;
    assert_eq!(response.headers["preference-applied"], "respond-async");
    assert_eq!(waited, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_in_time_is_answered_with_202() {
    for (preference, applied, seconds) in [
        ("wait=3", "wait=3", 3),
        ("respond-async, wait=5", "respond-async, wait=5", 5),
        ("wait=86400", "wait=60", 60),
        ("wait=0", "wait=0", 0),
    ] {
        let (response, waited) = preferring(preference).await;
        assert_eq!(response.headers["preference-applied"], applied);
        assert_eq!(waited, seconds, "{preference}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_preferences_are_not_applied() {
    for preference in ["return=minimal", "wait=soon", "wait=-1", "handling=lenient"] {
        let (response, waited) = preferring(preference).await;
        assert!(
            !response.headers.contains_key("preference-applied"),
            "{preference}"
        );
        assert_eq!(waited, 0, "{preference}");
    }
}

//! Handing out: one at a time, leases, tokens, attempts.

use super::*;

pub(super) const BEHAVIOURS: &[(&str, QueueBehaviour)] = &[
    ("one write of a key is handed out at a time", |on| {
        Box::pin(one_at_a_time(on))
    }),
    ("concurrent claims hand out a write once", |on| {
        Box::pin(concurrent_claims(on))
    }),
    ("a claim repeated with its token answers the same", |on| {
        Box::pin(repeated_claim(on))
    }),
    ("a lease that ran out is due again", |on| {
        Box::pin(lease_runs_out(on))
    }),
    ("a renewed lease does not run out", |on| {
        Box::pin(renewed(on))
    }),
    ("an end with a wrong token changes nothing", |on| {
        Box::pin(wrong_token(on))
    }),
    ("a late end does not take the next write", |on| {
        Box::pin(late_end(on))
    }),
    ("a write without attempts is handed out for burial", |on| {
        Box::pin(spent(on))
    }),
    ("the age counts from the first attempt", |on| {
        Box::pin(age(on))
    }),
    ("a pause stops hand-outs, not leases", |on| {
        Box::pin(paused(on))
    }),
    ("due keys are told with the time of the next", |on| {
        Box::pin(due(on))
    }),
    ("wakes follow a write that becomes due", |on| {
        Box::pin(wakes(on))
    }),
];

async fn one_at_a_time(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    let other = on.push("other").await;
    let nothing = on.try_claim("k", second, terms(1)).await;
    assert_eq!(nothing, Claim::Nothing, "not the first");
    let claimed = on.claim("k", first, 1).await;
    assert_eq!(claimed.attempt, 1);
    assert_eq!(claimed.request, "request");
    for id in [first, second] {
        assert_eq!(on.try_claim("k", id, terms(2)).await, Claim::Nothing);
    }
    on.claim("other", other, 2).await;
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    on.claim("k", second, 3).await;
}

async fn concurrent_claims(on: TestQueue) {
    let id = on.push("k").await;
    let claims = (1..=20).map(|token| on.try_claim("k", id, terms(token)));
    let claims = futures_util::future::join_all(claims).await;
    let nothing = claims.iter().filter(|claim| **claim == Claim::Nothing);
    assert_eq!(nothing.count(), 19);
}

async fn repeated_claim(on: TestQueue) {
    let id = on.push("k").await;
    let claimed = on.claim("k", id, 1).await;
    assert_eq!(on.claim("k", id, 1).await, claimed);
    assert_eq!(on.status(id).await.attempts, 1);
}

async fn lease_runs_out(on: TestQueue) {
    let id = on.push("k").await;
    assert!(matches!(
        on.try_claim("k", id, short(1)).await,
        Claim::Claimed(_)
    ));
    let due = on.due("k").await;
    assert_eq!(due.first, []);
    assert!(due.next.expect("the end of the lease") <= LEASE);
    assert_eq!(on.try_claim("k", id, short(2)).await, Claim::Nothing);
    let again = on.until_claimed("k", id, terms(2)).await;
    assert_eq!(again.attempt, 2);
}

async fn renewed(on: TestQueue) {
    let id = on.push("k").await;
    let claim = on.try_claim("k", id, short(1)).await;
    let Claim::Claimed(claimed) = claim else {
        panic!("{claim:?}")
    };
    assert!(on.on.renew(&claimed.token, LONG).await.expect("renews"));
    on.pass(2 * LEASE).await;
    assert_eq!(on.try_claim("k", id, terms(2)).await, Claim::Nothing);
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    assert!(!on.on.renew(&claimed.token, LONG).await.expect("renews"));
}

async fn wrong_token(on: TestQueue) {
    let id = on.push("k").await;
    let claimed = on.claim("k", id, 1).await;
    let mut wrong = claimed.clone();
    wrong.token.token = 2;
    let mut other = claimed.clone();
    other.token.id = on.id("k");
    for outcome in [
        AttemptOutcome::Done,
        AttemptOutcome::Dead { hold: true },
        AttemptOutcome::Again(Duration::ZERO),
        AttemptOutcome::Back,
    ] {
        assert!(!on.end(&wrong, outcome).await);
        assert!(!on.end(&other, outcome).await);
    }
    assert!(!on.on.renew(&wrong.token, LONG).await.expect("renews"));
    assert_eq!(on.state(id).await, WriteState::Applying);
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    assert!(
        !on.end(&claimed, AttemptOutcome::Done).await,
        "it has ended"
    );
}

async fn late_end(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    let claim = on.try_claim("k", first, short(1)).await;
    let Claim::Claimed(sleeper) = claim else {
        panic!("{claim:?}")
    };
    let other = on.until_claimed("k", first, terms(2)).await;
    assert!(on.end(&other, AttemptOutcome::Done).await);
    let next = on.claim("k", second, 3).await;
    assert!(!on.end(&sleeper, AttemptOutcome::Done).await);
    assert_eq!(on.pending("k").await, [second]);
    assert!(on.end(&next, AttemptOutcome::Done).await);
}

async fn spent(on: TestQueue) {
    let id = on.push("k").await;
    let two = |token| ClaimTerms {
        attempts: 2,
        ..terms(token)
    };
    for attempt in 1..=2 {
        let claimed = on.until_claimed("k", id, two(attempt.into())).await;
        assert_eq!((claimed.attempt, claimed.is_spent), (attempt, false));
        let again = AttemptOutcome::Again(Duration::ZERO);
        assert!(on.end(&claimed, again).await);
    }
    let claimed = on.until_claimed("k", id, two(3)).await;
    assert_eq!((claimed.attempt, claimed.is_spent), (2, true));
    assert_eq!(on.until_claimed("k", id, two(3)).await, claimed);
    assert!(on.end(&claimed, AttemptOutcome::Back).await);
    let claimed = on.until_claimed("k", id, two(4)).await;
    assert!(claimed.is_spent, "it has no attempt to give back");
    let dead = AttemptOutcome::Dead { hold: false };
    assert!(on.end(&claimed, dead).await);
    assert_eq!(on.state(id).await, WriteState::Dead);
}

async fn age(on: TestQueue) {
    let id = on.push("k").await;
    let young = |token| ClaimTerms {
        max_age: LEASE,
        ..terms(token)
    };
    on.pass(2 * LEASE).await;
    let claimed = on.until_claimed("k", id, young(1)).await;
    assert!(!claimed.is_spent, "it was not handed out before");
    assert!(on.end(&claimed, AttemptOutcome::Back).await);
    on.pass(2 * LEASE).await;
    let claimed = on.until_claimed("k", id, young(2)).await;
    assert!(!claimed.is_spent, "the first attempt was taken back");
    let again = AttemptOutcome::Again(Duration::ZERO);
    assert!(on.end(&claimed, again).await);
    on.pass(2 * LEASE).await;
    let claimed = on.until_claimed("k", id, young(3)).await;
    assert!(claimed.is_spent);
}

async fn paused(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    let claimed = on.claim("k", first, 1).await;
    on.on.set_paused(true).await.expect("pauses");
    assert!(on.counts().await.paused);
    assert_eq!(on.claim("k", first, 1).await, claimed, "the same claim");
    assert!(on.on.renew(&claimed.token, LONG).await.expect("renews"));
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    assert_eq!(on.due("k").await.first, []);
    assert_eq!(on.try_claim("k", second, terms(2)).await, Claim::Nothing);
    on.push("k").await;
    on.on.set_paused(false).await.expect("continues");
    assert!(!on.counts().await.paused);
    on.claim("k", second, 3).await;
}

async fn due(on: TestQueue) {
    assert_eq!(on.due("k").await.next, None);
    let id = on.push("k").await;
    let later = AttemptOutcome::Again(LONG);
    on.apply("k", id, later).await;
    let due = on.due("k").await;
    assert_eq!(due.first, []);
    let next = due.next.expect("the next attempt");
    assert!(next > LONG / 2 && next <= LONG, "{next:?}");
    assert!(on.status(id).await.next_attempt.is_some());
    assert_eq!(on.state(id).await, WriteState::Waiting);
    assert_eq!(on.try_claim("k", id, terms(1)).await, Claim::Nothing);
}

async fn wakes(on: TestQueue) {
    let mut wakes = on.on.wakes();
    let wait = Duration::from_secs(20);
    let id = on.push("k").await;
    let woken = tokio::time::timeout(wait, wakes.next()).await;
    woken.expect("woken by a push");
    let claimed = on.claim("k", id, 1).await;
    let next = on.push("k").await;
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    let woken = tokio::time::timeout(wait, wakes.next()).await;
    woken.expect("woken by an end");
    on.claim("k", next, 2).await;
}

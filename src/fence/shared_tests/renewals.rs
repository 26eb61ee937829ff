//! Declarations that are renewed, and closed until the journal has answered.

use tokio::time::{Instant, advance};

use super::*;
use crate::fence::declaration::Declaration;

const TOKEN: u64 = 77;
const SHORT: Duration = Duration::from_secs(10);

async fn declare_for(fence: &Fence, lease: Duration) -> Declaration {
    let declared = fence.declare_as(TOKEN, key(KEY), lease).await;
    declared.expect("the journal answers")
}

async fn renew(declaration: &Declaration, lease: Duration) {
    let renewed = declaration.renew(lease).await;
    renewed.expect("the journal answers");
}

async fn pass(journal: &FaultyJournal, time: Duration) {
    journal.advance(time);
    advance(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewed_declaration_blocks_every_process_beyond_its_first_lease() {
    let (fence, journal) = process().await;
    let elsewhere = process_on(&journal).await;
    let declaration = declare_for(&fence, SHORT).await;
    for _ in 0..3 {
        pass(&journal, SHORT * 3 / 4).await;
        renew(&declaration, SHORT).await;
        sync(&elsewhere).await;
        for fence in [&fence, &elsewhere] {
            assert_eq!(verdict(fence, &fill(fence)), Verdict::Unusable);
        }
    }
    close(declaration).await;
    sync(&elsewhere).await;
    for fence in [&fence, &elsewhere] {
        assert_eq!(verdict(fence, &fill(fence)), Verdict::Usable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_declaration_that_is_no_longer_renewed_ends_with_its_last_lease() {
    let (fence, journal) = process().await;
    let elsewhere = process_on(&journal).await;
    let declaration = declare_for(&fence, SHORT).await;
    pass(&journal, SHORT / 2).await;
    renew(&declaration, SHORT).await;
    pass(&journal, SHORT - Duration::from_secs(1)).await;
    sync(&elsewhere).await;
    let during = fill(&elsewhere);
    assert_eq!(verdict(&elsewhere, &during), Verdict::Unusable);
    pass(&journal, Duration::from_secs(1)).await;
    sync(&elsewhere).await;
    assert_eq!(verdict(&elsewhere, &during), Verdict::Unusable);
    assert_eq!(verdict(&elsewhere, &fill(&elsewhere)), Verdict::Usable);
    drop(declaration);
}

#[tokio::test]
async fn a_renewal_is_not_an_invalidation_for_other_processes() {
    let (fence, journal) = process().await;
    let elsewhere = process_on(&journal).await;
    let mut events = elsewhere.subscribe();
    let declaration = declare_for(&fence, SHORT).await;
    for _ in 0..3 {
        renew(&declaration, SHORT).await;
    }
    let position = declaration.close_by(Vec::new(), Instant::now()).await;
    let position = position.expect("the journal answers");
    let records = journal.records_after(elsewhere.position()).await;
    assert!(apply(&elsewhere, &records));
    assert_eq!(elsewhere.position(), position);
    assert!(matches!(events.next().await, Some(AppliedEvent::Purges(_))));
    assert!(
        events.next().now_or_never().is_none(),
        "one write, one event"
    );
    let purges = journal.state().await.latest;
    assert!(purges.iter().all(|(_, n)| *n == position.n), "{purges:?}");
    assert_eq!(verdict(&elsewhere, &fill(&elsewhere)), Verdict::Usable);
}

#[tokio::test]
async fn a_renewed_declaration_is_repeated_in_a_new_epoch() {
    let (fence, journal) = process().await;
    let declaration = declare_for(&fence, SHORT).await;
    journal.advance(SHORT / 2);
    renew(&declaration, SHORT).await;
    journal.advance(SHORT * 3 / 4);
    journal.begin_epoch();
    sync(&fence).await;
    deliver(&fence).await;
    assert!(journal.has_declaration().await);
    close(declaration).await;
    assert!(!journal.has_declaration().await);
}

#[tokio::test]
async fn a_renewal_without_an_answer_is_an_error_and_is_not_sent_again() {
    let (fence, journal) = process().await;
    let declaration = declare_for(&fence, SHORT).await;
    journal.set_lose_replies(true);
    let renewed = declaration.renew(SHORT).await;
    renewed.expect_err("the reply is lost");
    assert_eq!(pending(&fence), 0);
    journal.set_lose_replies(false);
    close(declaration).await;
    assert!(!journal.has_declaration().await);
    sync(&fence).await;
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

#[tokio::test(start_paused = true)]
async fn a_closing_is_appended_until_the_journal_answers() {
    let (fence, journal) = process().await;
    let declaration = declare_for(&fence, SHORT).await;
    journal.set_lose_replies(true);
    let until = Instant::now() + Duration::from_secs(60);
    let others = vec![PurgeTarget::Tag("another".into())];
    let closing = tokio::spawn(declaration.close_by(others, until));
    // It begins before the lease ends.
    tokio::task::yield_now().await;
    advance(SHORT).await;
    assert!(!closing.is_finished());
    journal.set_lose_replies(false);
    let position = closing
        .await
        .expect("no panic")
        .expect("the journal answers");
    assert_eq!(position, journal.inner().head());
    assert!(!journal.has_declaration().await);
    assert_eq!(journal.last_purge().await, "t:another");
    assert_eq!(pending(&fence), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closing_without_an_answer_is_queued() {
    let (fence, journal) = process().await;
    let declaration = declare_for(&fence, SHORT).await;
    journal.set_lose_replies(true);
    let until = Instant::now() + Duration::from_secs(60);
    let closed = declaration.close_by(Vec::new(), until).await;
    closed.expect_err("the replies are lost");
    assert!(Instant::now() >= until);
    assert_eq!(pending(&fence), 1);
    let invalidated = fence.invalidate_by(key("another"), Instant::now()).await;
    invalidated.expect_err("the replies are lost");
    assert_eq!(pending(&fence), 2);
    journal.set_lose_replies(false);
    deliver(&fence).await;
    assert_eq!(pending(&fence), 0);
    sync(&fence).await;
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

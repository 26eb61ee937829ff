//! Warm-ups with progress, and their resumption.

use futures_util::FutureExt;
use tower_keep::keep::WarmUp;

use crate::common::{
    client::{get, run_other_tasks},
    keeps::{engagements, new_keep},
    origin::{Gate, Origin, cached, full, ok},
};

#[tokio::test]
async fn an_interrupted_warm_up_is_resumed() {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::from_fn(move |_, _| {
        let gate = waiting.clone();
        async move {
            gate.pass().await;
            Ok(ok(full("an engagement"), &[]))
        }
    });
    let keep = new_keep(engagements());
    let service = cached(&keep, &origin);
    let requests = || (0..10).map(|id| get(&format!("/engagements/{id}")));
    let mut completed = 0;
    {
        let settings = WarmUp::new()
            .concurrency(3)
            .progress(|report| completed = report.completed());
        let mut warm = Box::pin(keep.warm_with(settings, service.clone(), requests()));
        for _ in 0..20 {
            assert!((&mut warm).now_or_never().is_none());
            run_other_tasks().await;
        }
        assert_eq!(origin.calls(), 3, "three at a time");
        gate.admit(4);
        for _ in 0..20 {
            assert!((&mut warm).now_or_never().is_none());
            run_other_tasks().await;
        }
    }
    assert_eq!(completed, 4);
    gate.open();
    let mut reports = Vec::new();
    let settings = WarmUp::new()
        .resume_after(completed)
        .progress(|report| reports.push(*report));
    let report = keep.warm_with(settings, service, requests()).await;
    assert_eq!((report.completed(), report.failed()), (10, 0));
    assert_eq!(report.stored() + report.hits(), 6, "{report:?}");
    assert_eq!(reports.len(), 6);
    assert_eq!(reports.last(), Some(&report));
}

#[tokio::test]
async fn a_warm_up_after_the_last_request_sends_none() {
    let origin = Origin::new(|_, _| unreachable!("nothing is sent"));
    let keep = new_keep(engagements());
    let service = cached(&keep, &origin);
    let settings = WarmUp::new().resume_after(u64::MAX);
    let report = keep
        .warm_with(settings, service, [get("/engagements/1")])
        .await;
    assert_eq!((report.stored(), report.failed()), (0, 0));
}

//! Finds due writes, and starts attempts to apply them.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    marker::PhantomData,
    mem,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    attempt::{self, AttemptReport},
    call_slots::CallSlots,
    context::WorkerContext,
    held_back::HeldBackKeys,
    scan_schedule::ScanSchedule,
    shutdown::ShutdownPhase,
};
use crate::{
    error::BoxError,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    store::contracts::queue::{Due, FirstWrite, Wakes},
};

/// Finds due writes, and starts attempts to apply them, at most `concurrency` at a time.
pub(super) struct Dispatcher<S, B> {
    context: Arc<WorkerContext>,
    service: S,
    attempts: JoinSet<(FirstWrite, AttemptReport)>,
    slots: Arc<CallSlots>,
    /// The keys of the attempts.
    in_progress: HashSet<Box<str>>,
    /// Due writes, as far as the last scan knew.
    candidates: VecDeque<FirstWrite>,
    scans: ScanSchedule,
    held_back: HeldBackKeys,
    /// Nothing is claimed before this time, because the store does not answer.
    pause_until: Instant,
    /// The next pause.
    pause: Duration,
    /// The pause before a key is claimed again that was due, but not handed out.
    idle: Duration,
    /// Whether the store's failure has been logged.
    has_warned: bool,
    body: PhantomData<fn(B)>,
}

impl<S, B> Dispatcher<S, B>
where
    S: HttpService<B, ServiceError: Into<BoxError>>,
    B: ReplayableBody,
{
    pub(super) fn new(context: Arc<WorkerContext>, service: S) -> Self {
        let scans = ScanSchedule::new(context.queue.partitions());
        let slots = CallSlots::new(context.settings.concurrency);
        Self {
            context,
            service,
            attempts: JoinSet::new(),
            slots,
            in_progress: HashSet::new(),
            candidates: VecDeque::new(),
            scans,
            held_back: HeldBackKeys::default(),
            pause_until: Instant::now(),
            pause: FIRST_PAUSE,
            idle: FIRST_IDLE,
            has_warned: false,
            body: PhantomData,
        }
    }

    /// Dispatches until `shutdown` is ready, then ends the attempts.
    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) {
        self.dispatch(pin!(shutdown)).await;
        self.finish().await;
    }

    async fn dispatch(&mut self, mut shutdown: Pin<&mut impl Future<Output = ()>>) {
        let wakes = Arc::new(Notify::new());
        // A task of its own: a subscription that is being made must not be given up whenever an attempt
        // ends. It ends with this future.
        let mut listener = JoinSet::new();
        listener.spawn(listen(self.context.queue.wakes(), Arc::clone(&wakes)));
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = self.scan_if_due() => {}
            }
            self.start_attempts();
            let (is_free, next_step) = (self.has_room(), self.next_step());
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                Some(ended) = self.attempts.join_next() => {
                    // An attempt catches its own panics.
                    if let Ok((first, report)) = ended {
                        self.note(first, report);
                    }
                }
                () = self.slots.freed(), if !is_free => {}
                () = wakes.notified(), if is_free => {
                    self.idle = FIRST_IDLE;
                    self.scans.wake_all();
                }
                () = sleep_until(next_step), if is_free => {}
            }
        }
    }

    /// Looks for due writes where something has happened, once all those found before are in progress.
    ///
    /// Cancel safety: what was found is lost. Only the end of the worker cancels it.
    async fn scan_if_due(&mut self) {
        if !self.has_room() || !self.candidates.is_empty() || self.pause_until > Instant::now() {
            return;
        }
        let partitions = self.scans.take_due();
        if partitions.is_empty() {
            return;
        }
        // More than can be started at once, so that not every end of an attempt needs a scan, and that
        // several workers seldom want the same; and those that are passed over.
        let wanted = MAX_SCANNED.min(2 * self.context.settings.concurrency);
        let count = wanted + self.held_back.len();
        let queue = &self.context.queue;
        let scans = partitions
            .iter()
            .map(|partition| queue.due(*partition, count));
        let replies = join_all(scans).await;
        let mut found = Vec::new();
        for (partition, reply) in partitions.into_iter().zip(replies) {
            match reply {
                Ok(due) => {
                    self.schedule_next(partition, &due, count);
                    found.push(self.claimable(partition, due.first));
                }
                Err(error) => {
                    self.scans.wake_after(partition, Duration::ZERO);
                    self.has_failed(&error.to_string());
                }
            }
        }
        interleave(found, &mut self.candidates);
    }

    fn schedule_next(&mut self, partition: u8, due: &Due, count: usize) {
        if due.first.len() >= count {
            self.scans.wake_after(partition, Duration::ZERO);
        } else if let Some(next) = due.next {
            self.scans.wake_after(partition, next);
        }
    }

    /// Leaves out the keys that this worker applies already, and those that it has just handed back.
    fn claimable(&mut self, partition: u8, found: Vec<FirstWrite>) -> Vec<FirstWrite> {
        let mut claimable = Vec::with_capacity(found.len());
        for first in found {
            if let Some(until) = self.held_back.until(&first.key) {
                let wait = until.saturating_duration_since(Instant::now());
                self.scans.wake_after(partition, wait);
            } else if !self.in_progress.contains(&first.key) {
                claimable.push(first);
            }
        }
        // The first of all workers would otherwise be the same.
        fastrand::shuffle(&mut claimable);
        claimable
    }

    fn start_attempts(&mut self) {
        if self.pause_until > Instant::now() {
            return;
        }
        while self.has_room()
            && let Some(first) = self.candidates.pop_front()
        {
            self.in_progress.insert(first.key.clone());
            let (context, service) = (Arc::clone(&self.context), self.service.clone());
            let attempt = attempt::run(context, service, first.clone(), self.slots.take());
            self.attempts.spawn(async move {
                let report = AssertUnwindSafe(attempt).catch_unwind().await;
                (first, report.unwrap_or(AttemptReport::Worked))
            });
        }
    }

    /// Takes note of the end of an attempt.
    fn note(&mut self, first: FirstWrite, report: AttemptReport) {
        self.in_progress.remove(&first.key);
        let partition = self.context.queue.partition_of(&first.key);
        match report {
            AttemptReport::Worked => {
                self.has_answered();
                self.idle = FIRST_IDLE;
                self.scans.wake_after(partition, Duration::ZERO);
            }
            AttemptReport::NothingClaimed => {
                // Another worker was faster, or the queue is paused.
                self.scans.wake_after(partition, self.idle);
                self.idle = LONGEST_IDLE.min(2 * self.idle);
            }
            AttemptReport::Unreadable => {
                self.held_back.add(first.key, LEFT_FOR);
                self.scans.wake_after(partition, Duration::ZERO);
            }
            AttemptReport::NoJournal => {
                self.has_failed("the journal of invalidations does not take declarations");
                self.scans.wake_after(partition, Duration::ZERO);
            }
            AttemptReport::NoQueue => {
                self.has_failed("the queue does not answer");
                self.scans.wake_after(partition, Duration::ZERO);
            }
        }
    }

    fn has_room(&self) -> bool {
        // As many attempts again may still be busy with the stores after their calls.
        let attempts = self.context.settings.concurrency.saturating_mul(2);
        self.slots.has_room() && self.attempts.len() < attempts
    }

    /// When to go on, if nothing happens before.
    fn next_step(&self) -> Instant {
        let far = || Instant::now() + LONGEST_IDLE * 60;
        let next = match self.candidates.is_empty() {
            true => self.scans.earliest().unwrap_or_else(far),
            false => Instant::now(),
        };
        next.max(self.pause_until)
    }

    fn has_failed(&mut self, error: &str) {
        self.pause_until = Instant::now() + self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.pause = LONGEST_PAUSE.min(2 * self.pause);
        // One warning for each outage.
        if mem::replace(&mut self.has_warned, true) {
            tracing::debug!(error, "queued writes still wait");
        } else {
            tracing::warn!(
                error,
                "store unavailable: queued writes wait until it can be reached"
            );
        }
    }

    fn has_answered(&mut self) {
        self.pause = FIRST_PAUSE;
        if mem::take(&mut self.has_warned) {
            tracing::info!("store available again: queued writes are applied");
        }
    }

    /// Waits for the attempts in progress, and cancels the calls that take too long.
    async fn finish(&mut self) {
        let settings = self.context.settings;
        self.context.shutdown.enter(ShutdownPhase::NoNewCalls);
        if timeout(settings.grace, self.attempts_end()).await.is_ok() {
            return;
        }
        tracing::warn!(
            calls = self.attempts.len(),
            grace = ?settings.grace,
            "the worker ends before its calls: they are cancelled, and their writes wait for another worker"
        );
        self.context.shutdown.enter(ShutdownPhase::CancelCalls);
        // Without the store they cannot be handed back: their leases run out.
        let _ = timeout(LONGEST_FINISH, self.attempts_end()).await;
        self.attempts.shutdown().await;
    }

    async fn attempts_end(&mut self) {
        while self.attempts.join_next().await.is_some() {}
    }
}

/// Passes on, for ever, that writes may have become due.
async fn listen(mut wakes: Box<dyn Wakes>, listener: Arc<Notify>) {
    loop {
        wakes.next().await;
        listener.notify_one();
    }
}

/// Appends one of each partition in turn.
fn interleave(found: Vec<Vec<FirstWrite>>, to: &mut VecDeque<FirstWrite>) {
    let mut partitions: Vec<_> = found.into_iter().map(Vec::into_iter).collect();
    while !partitions.is_empty() {
        partitions.retain_mut(|partition| {
            let next = partition.next();
            let is_some = next.is_some();
            to.extend(next);
            is_some
        });
    }
}

/// How long a key with a record of an unknown version is left to other workers.
const LEFT_FOR: Duration = Duration::from_secs(60);

/// How many writes of a partition are wanted at once.
const MAX_SCANNED: usize = 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const FIRST_IDLE: Duration = Duration::from_millis(5);
const LONGEST_IDLE: Duration = Duration::from_secs(1);

/// How long the worker's end waits for cancelled calls to be handed back.
const LONGEST_FINISH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_queue::WriteId;

    #[test]
    fn partitions_take_turns() {
        let first = |key: &str| FirstWrite {
            key: key.into(),
            id: WriteId::random(0).expect("random numbers"),
        };
        let found =
            ["abc", "", "d"].map(|keys| keys.chars().map(|key| first(&key.to_string())).collect());
        let mut candidates = VecDeque::new();
        interleave(found.into(), &mut candidates);
        let keys: Vec<_> = candidates.iter().map(|first| &*first.key).collect();
        assert_eq!(keys, ["a", "d", "b", "c"]);
    }
}

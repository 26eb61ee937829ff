//! Exploration of schedules: a test runs again and again, each time with its threads interleaved in
//! another way.
//!
//! Threads and tasks are shuttle's; they take turns on one thread of the system. The code under test
//! uses std's mutexes and tokio's channels as in production. It calls [`switch_point`] before each
//! lock, which is where another thread may take over. As no lock is held across such a point, this
//! covers every order of the critical sections.

use std::{cell::Cell, sync::atomic::Ordering};

use shuttle::sync::atomic::AtomicBool;

thread_local! {
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `test` with a thousand schedules. A deadlock, such as a wake-up that is lost, is a panic.
pub(crate) fn explore(test: impl Fn() + Clone + Send + Sync + 'static) {
    struct Exploring;
    impl Drop for Exploring {
        fn drop(&mut self) {
            EXPLORING.set(false);
        }
    }
    let _exploring = Exploring;
    EXPLORING.set(true);
    shuttle::check_random(test.clone(), 500);
    shuttle::check_pct(test, 500, 3);
}

/// Lets another thread take over if a test explores schedules.
pub(crate) fn switch_point() {
    if EXPLORING.get() && !std::thread::panicking() {
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

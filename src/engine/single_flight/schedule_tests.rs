//! Single flight under every order of what leaders and followers do.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use shuttle::{future::block_on, thread};

use super::{FlightRole, LeaderGuard, Release, SingleFlight};
use crate::schedule::{explore, switch_point};

const KEY: &str = "k";

/// Counts the leaders that work at the same time.
#[derive(Clone, Default)]
struct Work {
    leaders: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
}

impl Work {
    /// Works while it leads. The result is the number of times that the work has been done.
    fn run(&self) -> usize {
        let leaders = self.leaders.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(leaders, 1, "two leaders at the same time");
        switch_point();
        self.leaders.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

/// What one caller gets; a caller that leads does the work and shares it.
fn get(flights: &Arc<SingleFlight<usize>>, work: &Work) -> usize {
    loop {
        match flights.join(KEY) {
            FlightRole::Lead(leader) => {
                let value = work.run();
                leader.share(value);
                return value;
            }
            FlightRole::Follow(mut follower) => match block_on(follower.wait()) {
                Ok(value) => return value,
                Err(Release::Cancelled | Release::Ended) => {}
            },
        }
    }
}

fn spawn_callers(
    flights: &Arc<SingleFlight<usize>>,
    work: &Work,
    number: usize,
) -> Vec<thread::JoinHandle<usize>> {
    let spawn = |_| {
        let (flights, work) = (Arc::clone(flights), work.clone());
        thread::spawn(move || get(&flights, &work))
    };
    (0..number).map(spawn).collect()
}

fn lead(flights: &Arc<SingleFlight<usize>>) -> LeaderGuard<usize> {
    flights.try_lead(KEY).expect("there is no leader")
}

#[test]
fn callers_share_the_work_of_one_leader_at_a_time() {
    explore(|| {
        let (flights, work) = (SingleFlight::new(), Work::default());
        let callers = spawn_callers(&flights, &work, 3);
        let values = callers.into_iter().map(|caller| caller.join());
        let values: Vec<_> = values.map(|value| value.expect("no panic")).collect();
        assert!(values.iter().all(|value| (1..=work.done()).contains(value)));
        assert_eq!(flights.len(), 0);
    });
}

#[test]
fn followers_of_a_dropped_leader_get_their_value_from_one_of_them() {
    for ended in [false, true] {
        explore(move || {
            let (flights, work) = (SingleFlight::new(), Work::default());
            let leader = lead(&flights);
            let callers = spawn_callers(&flights, &work, 3);
            switch_point();
            if ended {
                leader.end();
            } else {
                drop(leader);
            }
            for caller in callers {
                let value = caller.join().expect("no panic");
                assert!((1..=work.done()).contains(&value));
            }
            assert_eq!(flights.len(), 0);
        });
    }
}

#[test]
fn one_follower_replaces_a_leader_which_then_does_not_remove_the_new_one() {
    explore(|| {
        let (flights, work) = (SingleFlight::new(), Work::default());
        let old = lead(&flights);
        let followers = [(); 2].map(|()| match flights.join(KEY) {
            FlightRole::Follow(follower) => follower,
            FlightRole::Lead(_) => panic!("there is a leader"),
        });
        let replacing = followers.map(|follower| {
            let (flights, work) = (Arc::clone(&flights), work.clone());
            thread::spawn(move || {
                let leader = flights.replace_leader(KEY, &follower);
                if let Some(leader) = &leader {
                    leader.share(work.run());
                }
                leader
            })
        });
        old.share(0);
        drop(old);
        let leaders = replacing.map(|thread| thread.join().expect("no panic"));
        let leaders: Vec<_> = leaders.into_iter().flatten().collect();
        assert!(leaders.len() <= 1);
        assert_eq!(
            flights.len(),
            leaders.len(),
            "the new leader is still listed"
        );
        drop(leaders);
        assert_eq!(flights.len(), 0);
    });
}

//! The connections of one port, up to a bound.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// At most so many connections.
#[derive(Debug)]
pub struct Crowd {
    most: usize,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    /// Those that keep us waiting, by when that began.
    waiting: BTreeMap<u64, Arc<Eviction>>,
    working: usize,
}

/// A connection's place; dropping it leaves.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    eviction: Arc<Eviction>,
    /// Its number among those that wait; none while it works.
    number: Mutex<Option<u64>>,
}

#[derive(Debug, Default)]
struct Eviction {
    due: AtomicBool,
    waker: AtomicWaker,
}

impl Crowd {
    /// An empty one.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, members: Mutex::default() })
    }

    /// A place for one more. Where all are taken the connection leaves that has kept us waiting for longest;
    /// none where all are at work.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut members = self.members();
        if members.waiting.len() + members.working >= self.most {
            members.waiting.pop_first()?.1.evict();
        }
        let eviction = Arc::new(Eviction::default());
        let number = members.wait(Arc::clone(&eviction));
        Some(Place { crowd: Arc::clone(self), eviction, number: Mutex::new(Some(number)) })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn wait(&mut self, eviction: Arc<Eviction>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, eviction);
        number
    }
}

impl Place {
    /// It has said what it wants: from now on it stays.
    pub fn work(&self) {
        let mut number = self.number();
        let mut members = self.crowd.members();
        // One that is to leave has no place any more.
        if number.is_some_and(|number| members.waiting.remove(&number).is_some()) {
            members.working += 1;
            *number = None;
        }
    }

    /// It has what it wanted.
    pub fn rest(&self) {
        let mut number = self.number();
        let mut members = self.crowd.members();
        if number.is_none() {
            members.working -= 1;
            *number = Some(members.wait(Arc::clone(&self.eviction)));
        }
    }

    /// Whether it is at work.
    #[must_use]
    pub fn works(&self) -> bool {
        self.number().is_none()
    }

    /// Ready once it has to leave. One task asks.
    pub fn poll_evicted(&self, cx: &Context<'_>) -> Poll<()> {
        self.eviction.waker.register(cx.waker());
        if self.eviction.due.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = *self.number();
        let mut members = self.crowd.members();
        match number {
            Some(number) => drop(members.waiting.remove(&number)),
            None => members.working -= 1,
        }
    }
}

impl Eviction {
    fn evict(&self) {
        self.due.store(true, Ordering::Release);
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evicted(place: &Place) -> bool {
        place.poll_evicted(&Context::from_waker(futures::task::noop_waker_ref())).is_ready()
    }

    #[test]
    fn whoever_keeps_us_waiting_for_longest_makes_room() {
        let crowd = Crowd::new(3);
        let [first, second, third] = [(); 3].map(|()| crowd.enter().unwrap());
        first.work();
        let fourth = crowd.enter().unwrap();
        assert_eq!([&first, &second, &third, &fourth].map(evicted), [false, true, false, false]);
        first.rest();
        let fifth = crowd.enter().unwrap();
        assert_eq!([&first, &third, &fourth, &fifth].map(evicted), [false, true, false, false]);
    }

    #[test]
    fn nobody_enters_while_all_are_at_work_and_a_place_that_is_left_is_free() {
        let crowd = Crowd::new(2);
        let [first, second] = [(); 2].map(|()| crowd.enter().unwrap());
        first.work();
        second.work();
        assert!(crowd.enter().is_none());
        drop(first);
        let third = crowd.enter().unwrap();
        third.work();
        assert!(crowd.enter().is_none() && !evicted(&second));
    }

    #[test]
    fn one_that_is_to_leave_gets_its_place_back_by_nothing() {
        let crowd = Crowd::new(1);
        let first = crowd.enter().unwrap();
        let second = crowd.enter().unwrap();
        first.work();
        assert!(!first.works() && evicted(&first));
        second.work();
        drop(first);
        assert!(crowd.enter().is_none());
    }
}

//! The connections of one port, up to a bound.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// At most so many connections.
#[derive(Debug)]
pub struct ConnectionLimit {
    most: usize,
    members: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    /// Those that keep us waiting, by when that began.
    waiting: BTreeMap<u64, Arc<Eviction>>,
    working: usize,
}

/// A connection's place; dropping it leaves.
#[derive(Debug)]
pub struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    eviction: Arc<Eviction>,
    /// Its number among those that wait; none while it works.
    number: Mutex<Option<u64>>,
}

#[derive(Debug, Default)]
struct Eviction {
    due: AtomicBool,
    waker: AtomicWaker,
}

impl ConnectionLimit {
    /// An empty one.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, members: Mutex::default() })
    }

    /// A place for one more. Where all are taken the connection leaves that has kept us waiting for longest;
    /// none where all are at work.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut members = self.members();
        if members.waiting.len() + members.working >= self.most {
            members.waiting.pop_first()?.1.evict();
        }
        let eviction = Arc::new(Eviction::default());
        let number = members.wait(Arc::clone(&eviction));
        Some(ConnectionSlot { limit: Arc::clone(self), eviction, number: Mutex::new(Some(number)) })
    }

    fn members(&self) -> MutexGuard<'_, Slots> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn wait(&mut self, eviction: Arc<Eviction>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, eviction);
        number
    }
}

impl ConnectionSlot {
    /// It has said what it wants: from now on it stays.
    pub fn mark_busy(&self) {
        let mut number = self.number();
        let mut members = self.limit.members();
        // One that is to leave has no place any more.
        if number.is_some_and(|number| members.waiting.remove(&number).is_some()) {
            members.working += 1;
            *number = None;
        }
    }

    /// It has what it wanted.
    pub fn mark_idle(&self) {
        let mut number = self.number();
        let mut members = self.limit.members();
        if number.is_none() {
            members.working -= 1;
            *number = Some(members.wait(Arc::clone(&self.eviction)));
        }
    }

    /// Whether it is at work.
    #[must_use]
    pub fn is_busy(&self) -> bool {
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

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let number = *self.number();
        let mut members = self.limit.members();
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

    fn evicted(place: &ConnectionSlot) -> bool {
        place.poll_evicted(&Context::from_waker(futures::task::noop_waker_ref())).is_ready()
    }

    #[test]
    fn whoever_keeps_us_waiting_for_longest_makes_room() {
        let limit = ConnectionLimit::new(3);
        let [first, second, third] = [(); 3].map(|()| limit.enter().unwrap());
        first.mark_busy();
        let fourth = limit.enter().unwrap();
        assert_eq!([&first, &second, &third, &fourth].map(evicted), [false, true, false, false]);
        first.mark_idle();
        let fifth = limit.enter().unwrap();
        assert_eq!([&first, &third, &fourth, &fifth].map(evicted), [false, true, false, false]);
    }

    #[test]
    fn nobody_enters_while_all_are_at_work_and_a_place_that_is_left_is_free() {
        let limit = ConnectionLimit::new(2);
        let [first, second] = [(); 2].map(|()| limit.enter().unwrap());
        first.mark_busy();
        second.mark_busy();
        assert!(limit.enter().is_none());
        drop(first);
        let third = limit.enter().unwrap();
        third.mark_busy();
        assert!(limit.enter().is_none() && !evicted(&second));
    }

    #[test]
    fn one_that_is_to_leave_gets_its_place_back_by_nothing() {
        let limit = ConnectionLimit::new(1);
        let first = limit.enter().unwrap();
        let second = limit.enter().unwrap();
        first.mark_busy();
        assert!(!first.is_busy() && evicted(&first));
        second.mark_busy();
        drop(first);
        assert!(limit.enter().is_none());
    }
}

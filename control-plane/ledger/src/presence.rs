//! Which gateway processes may still give back what they hold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::streams::LedgerStreams;

/// A process that no replica has been connected to for so long is not waited for: a reconnect takes some
/// seconds. What it holds stays charged, and if it comes back what it returns may be used again.
const NOT_EXPECTED_AFTER: Duration = Duration::from_secs(15);
/// For how long it is remembered when a process was seen last.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// How often it is noted who is connected.
const PERIOD: Duration = Duration::from_secs(1);

/// When each process was connected for the last time, as far as this replica knows.
#[derive(Clone, Debug)]
pub struct Presence(Arc<Mutex<LastSeen>>);

#[derive(Debug)]
struct LastSeen {
    /// Before this nothing is known: who was connected then may come back.
    since: Instant,
    processes: HashMap<String, Instant>,
}

impl Default for Presence {
    fn default() -> Self {
        let seen = LastSeen { since: Instant::now(), processes: HashMap::new() };
        Self(Arc::new(Mutex::new(seen)))
    }
}

impl Presence {
    /// Notes that these processes are connected.
    pub fn see(&self, instances: impl IntoIterator<Item = String>) {
        self.lock().see(instances, Instant::now());
    }

    /// Whether nobody has been connected to this process for a while.
    #[must_use]
    pub fn is_gone(&self, instance: &str) -> bool {
        self.lock().is_gone(instance, Instant::now())
    }

    /// Keeps noting who is connected, here and to other replicas, as `everywhere` tells.
    pub async fn follow(
        self,
        streams: LedgerStreams,
        everywhere: impl AsyncFn() -> latchkey_store::Result<Vec<String>>,
    ) {
        let mut periods = tokio::time::interval(PERIOD);
        loop {
            periods.tick().await;
            self.see(streams.instances());
            match everywhere().await {
                Ok(instances) => self.see(instances),
                Err(error) => tracing::debug!(%error, "could not ask who is connected to other replicas"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, LastSeen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LastSeen {
    fn see(&mut self, instances: impl IntoIterator<Item = String>, now: Instant) {
        self.processes.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        self.processes.extend(instances.into_iter().map(|instance| (instance, now)));
    }

    fn is_gone(&self, instance: &str, now: Instant) -> bool {
        let seen = self.processes.get(instance).unwrap_or(&self.since);
        now.duration_since(*seen) >= NOT_EXPECTED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_a_while_after_it_was_seen_last() {
        let begun = Instant::now();
        let mut seen = LastSeen { since: begun, processes: HashMap::new() };
        let after = |halves: u32| begun + NOT_EXPECTED_AFTER * halves / 2;
        let gone = |seen: &LastSeen, now| [seen.is_gone("known", now), seen.is_gone("unknown", now)];
        seen.see(["known".to_owned()], after(1));
        assert_eq!(gone(&seen, after(1)), [false, false], "this replica has just begun");
        assert_eq!(gone(&seen, after(2)), [false, true]);
        assert_eq!(gone(&seen, after(3)), [true, true]);
        seen.see(["known".to_owned()], after(3));
        assert_eq!(gone(&seen, after(3)), [false, true], "it has come back");
    }
}

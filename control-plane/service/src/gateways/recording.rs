//! Writes this replica's streams for the others and for the next start, and watches those that are away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use latchkey_discovery::registry;
use latchkey_store::Backend;
use latchkey_store::gateways::GatewayStream;
use tokio::time::Instant;

use super::Gateways;
use super::streams::{ReplicaStream, StreamState};

/// How often a replica looks though nothing has changed here, and shows on PostgreSQL that it lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// The same on SQLite, where nobody else asks: so that the next start knows when it was.
const REMINDER: Duration = Duration::from_secs(10);
/// For how long one that is gone stays listed.
const LISTED: SignedDuration = SignedDuration::from_hours(24);

/// What only watching tells.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    /// For how long each stream has been away while this replica watched. It counts neither the time
    /// before this process nor that in which gateways could not have come back, and no clock bears on it.
    away: BTreeMap<StreamKey, Duration>,
    /// Streams of this replica that were written.
    written: BTreeSet<i64>,
    beaten: Option<Instant>,
}

/// A replica and its stream.
type StreamKey = (String, i64);

impl StreamWatch {
    pub fn away(&self, replica: &str, stream: i64) -> Duration {
        self.away.get(&(replica.to_owned(), stream)).copied().unwrap_or_default()
    }

    pub fn was_written(&self, stream: i64) -> bool {
        self.written.contains(&stream)
    }

    /// Adds the time that has passed to those that are away, and lets go of the others.
    fn pass(&mut self, seen: &[ReplicaStream], passed: Duration) {
        let away = seen.iter().filter(|seen| !seen.open);
        let row = |seen: &ReplicaStream| (seen.replica.clone(), seen.stream);
        self.away = away.map(|seen| (row(seen), seen.away.saturating_add(passed))).collect();
    }
}

impl Gateways {
    /// Writes this replica's streams at each change, and now and then.
    pub async fn share(&self) {
        let mut changed = self.registry.changed();
        let mut looked = Instant::now();
        loop {
            let change = *changed.borrow_and_update();
            let passed = looked.elapsed().min(2 * HEARTBEAT);
            looked = Instant::now();
            match self.keep(passed).await {
                Ok(()) => self.registry.recorded_up_to(change),
                Err(error) => {
                    tracing::warn!(%error, "could not write which gateways are connected here");
                    let mut watch = self.watch();
                    watch.away.retain(|_, away| *away >= self.gone_after);
                    drop(watch);
                    // While it cannot be written nothing is revoked either; new Envoys still get their keys.
                    if self.store.backend() == Backend::Sqlite {
                        self.registry.recorded_up_to(change);
                    }
                }
            }
            // A change or the heartbeat, whichever comes first.
            let _ = tokio::time::timeout(HEARTBEAT, changed.changed()).await;
        }
    }

    /// One round, `passed` after the last: notes who has been away for that much longer, and writes what has
    /// changed.
    pub async fn keep(&self, passed: Duration) -> latchkey_store::Result<()> {
        let rows = self.store.gateway_streams().await?;
        let seen = self.assemble(rows.clone());
        self.watch().pass(&seen, passed);
        // With what was just noted.
        let seen = self.assemble(rows);
        let (mut changed, mut forgotten) = (Vec::new(), Vec::new());
        for stream in &seen {
            if self.is_over(stream, &seen) {
                forgotten.push(stream.row());
            } else if self.is_changed(stream) {
                changed.push(stream.row());
            }
        }
        let pulse = match self.store.backend() {
            Backend::Sqlite => REMINDER,
            Backend::Postgres => HEARTBEAT,
        };
        // A little early rather than late.
        let due = self.watch().beaten.is_none_or(|at| at.elapsed() + HEARTBEAT / 4 >= pulse);
        if due || !changed.is_empty() || !forgotten.is_empty() {
            self.store.write_gateway_streams(&self.replica, &changed, &forgotten).await?;
            self.watch().beaten = Some(Instant::now());
        }
        self.note(&seen, &forgotten);
        Ok(())
    }

    /// Whether nobody needs to know of a stream any more.
    fn is_over(&self, stream: &ReplicaStream, all: &[ReplicaStream]) -> bool {
        if stream.open {
            return false;
        }
        let Some(StreamState { gateway, .. }) = &stream.state else { return stream.gone };
        let long_ago = || {
            let since = gateway.disconnected_at.unwrap_or_default();
            self.world.now().duration_since(since) > LISTED
        };
        let mut later = all.iter().filter(|other| other.open && other.gateway == stream.gateway);
        // An earlier row of a stream of this replica, or one that nobody needs to see listed.
        let left = || stream.here && stream.written.is_some() && self.left(stream);
        if stream.gone && (left() || long_ago() || later.clone().next().is_some()) {
            return true;
        }
        let returned = |other: &StreamState| other.gateway.instance == gateway.instance;
        later.any(|other| other.here && other.state.as_ref().is_some_and(returned))
    }

    /// Whether it is a row of this replica whose stream the registry no longer has.
    fn left(&self, stream: &ReplicaStream) -> bool {
        let is = |known: registry::Stream| i64::try_from(known.id) == Ok(stream.stream);
        !self.registry.streams().into_iter().any(is)
    }

    /// Whether what is written of a stream is to be written anew: of one elsewhere only that it is gone.
    fn is_changed(&self, stream: &ReplicaStream) -> bool {
        let Some(state) = &stream.state else { return false };
        let written: Option<StreamState> =
            stream.written.as_ref().and_then(|written| serde_json::from_str(written).ok());
        let Some(written) = written else { return true };
        if !stream.here {
            return state.gone != written.gone;
        }
        match self.store.backend() {
            Backend::Postgres => *state != StreamState { gateway: shown(&written, state), ..written.clone() },
            // On SQLite there are no others to see an acknowledgement: only who is connected counts.
            Backend::Sqlite => {
                let who = |state: &StreamState| (state.gateway.connected, state.gone);
                who(state) != who(&written)
            }
        }
    }

    /// What is written and forgotten now.
    fn note(&self, seen: &[ReplicaStream], forgotten: &[GatewayStream]) {
        let mut watch = self.watch();
        watch.written = seen.iter().filter(|seen| seen.here).map(|seen| seen.stream).collect();
        let here = forgotten.iter().filter(|row| row.replica == self.replica);
        let here: BTreeSet<_> = here.map(|row| row.stream).collect();
        watch.written.retain(|stream| !here.contains(stream));
        drop(watch);
        self.registry.forget(&here.into_iter().filter_map(|stream| u64::try_from(stream).ok()).collect());
    }
}

/// A written gateway with the status that is not written.
fn shown(written: &StreamState, now: &StreamState) -> super::Gateway {
    super::Gateway { status: now.gateway.status, ..written.gateway.clone() }
}

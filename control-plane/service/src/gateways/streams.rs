//! The streams of all replicas, as they are at a moment.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use latchkey_discovery::registry::{Sighting, Stream};
use latchkey_discovery::source::Position;
use latchkey_store::Backend;
use latchkey_store::gateways::GatewayStream;
use serde::{Deserialize, Serialize};

use super::{Gateway, GatewayStatus, Gateways, RejectedResource};

/// When a replica that has not written is taken for gone.
const STALE: SignedDuration = SignedDuration::from_secs(10);

/// What a replica writes of a stream. What an older one leaves out proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    #[serde(flatten)]
    pub gateway: Gateway,
    /// The applied revision's tag in hexadecimal, which tells the history that it is of.
    #[serde(default)]
    pub tag: Option<String>,
    /// Whether it has been away for so long that nobody waits for it.
    #[serde(default)]
    pub gone: bool,
}

/// One stream of some replica.
#[derive(Clone, Debug)]
pub(super) struct ReplicaStream {
    pub replica: String,
    pub stream: i64,
    pub gateway: String,
    /// What is known of it; none where that does not read.
    pub state: Option<StreamState>,
    /// What is written of it; none where nothing is.
    pub written: Option<String>,
    /// Whether it is of this replica.
    pub here: bool,
    /// Whether it is open, as far as is known.
    pub open: bool,
    pub gone: bool,
    /// For how long this replica has watched it being away.
    pub away: Duration,
}

impl Gateways {
    /// All streams. The database is read before the registry, so that a gateway on its way from another
    /// replica to this one is in either.
    pub(super) async fn seen(&self) -> latchkey_store::Result<Vec<ReplicaStream>> {
        Ok(self.assemble(self.store.gateway_streams().await?))
    }

    /// What `rows`, the registry and watching tell together.
    pub(super) fn assemble(&self, rows: Vec<GatewayStream>) -> Vec<ReplicaStream> {
        let streams = self.registry.streams();
        let watch = self.watch();
        let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.replica == self.replica);
        let away = |replica: &str, stream| watch.away(replica, stream);
        let mut seen: Vec<_> = others.into_iter().map(|row| self.elsewhere(row, &away)).collect();
        for stream in streams {
            let Ok(id) = i64::try_from(stream.id) else { continue };
            let written = own.iter().find(|row| row.stream == id).map(|row| row.state.clone());
            // It was written, and then forgotten: by an admin, or for one that came back to another replica.
            if !stream.open && written.is_none() && watch.was_written(id) {
                self.registry.forget(&BTreeSet::from([stream.id]));
                continue;
            }
            let (open, away) = (stream.open, away(&self.replica, id));
            let gone = !open && away >= self.gone_after;
            let state = StreamState { gone, ..StreamState::from(stream) };
            seen.push(ReplicaStream {
                replica: self.replica.clone(),
                stream: id,
                gateway: state.gateway.name.clone(),
                written,
                here: true,
                open,
                gone,
                away,
                state: Some(state),
            });
        }
        // Rows of streams that came back as another one.
        let known: BTreeSet<_> = seen.iter().filter(|seen| seen.here).map(|seen| seen.stream).collect();
        let left = own.into_iter().filter(|row| !known.contains(&row.stream));
        seen.extend(left.map(|row| ReplicaStream { gone: true, here: true, ..self.elsewhere(row, &away) }));
        seen
    }

    fn elsewhere(&self, row: GatewayStream, away: &impl Fn(&str, i64) -> Duration) -> ReplicaStream {
        let GatewayStream { replica, stream, gateway, state: written, age } = row;
        let mut state: Option<StreamState> = serde_json::from_str(&written).ok();
        // On SQLite another replica is the process before this one.
        let lives = self.store.backend() == Backend::Postgres && age <= STALE;
        let open =
            lives && replica != self.replica && state.as_ref().is_some_and(|state| state.gateway.connected);
        let away = away(&replica, stream);
        // A replica that lives watches its own.
        let watched = !lives && away >= self.gone_after;
        let gone = !open && (watched || state.as_ref().is_some_and(|state| state.gone));
        if let Some(state) = &mut state
            && !open
        {
            let since = self.world.now().checked_sub(age.max(SignedDuration::ZERO)).ok();
            state.gateway.disconnected_at = state.gateway.disconnected_at.or(since);
            state.gateway.connected = false;
            state.gone = gone;
        }
        ReplicaStream {
            replica,
            stream,
            gateway,
            state,
            written: Some(written),
            here: false,
            open,
            gone,
            away,
        }
    }
}

impl ReplicaStream {
    /// As admins see it.
    pub fn shown(self) -> Option<Gateway> {
        let Self { state, open, gone, .. } = self;
        let status = match (open, gone) {
            (true, _) => GatewayStatus::Connected,
            (false, false) => GatewayStatus::Disconnected,
            (false, true) => GatewayStatus::Gone,
        };
        Some(Gateway { status, ..state?.gateway })
    }

    /// The point of history that it has applied.
    pub fn position(&self) -> Option<Position> {
        let StreamState { gateway, tag, .. } = self.state.as_ref()?;
        let tag = u128::from_str_radix(tag.as_ref()?, 16).ok()?.to_be_bytes();
        Some(Position { revision: gateway.revision, tag })
    }

    /// As evidence. What is acknowledged elsewhere counts only where that is a point of this history.
    pub fn sighting(&self, counts: impl Fn(&Position) -> bool) -> Option<Sighting> {
        let StreamState { gateway, .. } = self.state.as_ref()?;
        let counted = self.here || self.position().is_some_and(|at| counts(&at));
        let rejected =
            |RejectedResource { resource, reason }: &RejectedResource| (resource.clone(), reason.clone());
        Some(Sighting {
            name: gateway.name.clone(),
            instance: gateway.instance.clone(),
            open: self.open,
            acknowledged: if counted { gateway.revision } else { 0 },
            rejected: gateway.rejected.iter().map(rejected).collect(),
            gone: self.gone,
        })
    }

    /// The row that says what is known now.
    pub fn row(&self) -> GatewayStream {
        GatewayStream {
            replica: self.replica.clone(),
            stream: self.stream,
            gateway: self.gateway.clone(),
            state: self
                .state
                .as_ref()
                .and_then(|state| serde_json::to_string(state).ok())
                .unwrap_or_default(),
            age: SignedDuration::ZERO,
        }
    }
}

impl From<Stream> for StreamState {
    fn from(stream: Stream) -> Self {
        let Stream { gateway, .. } = stream;
        let tag = Some(format!("{:032x}", u128::from_be_bytes(gateway.progress.tag)));
        Self { gateway: Gateway::from(gateway), tag, gone: false }
    }
}

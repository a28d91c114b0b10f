//! `GET /latchkey/ready`: whether this gateway should get traffic.

use serde_json::json;

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::discovery::view::View;
use crate::gate::World;
use crate::request::endpoint::ClientApi;
use crate::store::SharedStore;

/// With an older heartbeat the sync role counts as dead.
const STALE_MS: i64 = 10_000;

/// 200 when a snapshot is complete and the sync role is alive; otherwise 503 with the reason.
pub fn answer<S: SharedStore>(view: &View<S>, world: &impl World) -> Reply {
    if view.snapshot().is_none() {
        return Denial::from(Code::SnapshotNotReady).reply(ClientApi::OpenAi);
    }
    let now = world.now();
    match view.heartbeat() {
        Some(beat) if now.0.saturating_sub(beat.0) < STALE_MS => Reply::ok(&json!({"status": "ready"})),
        _ => Denial::from(Code::SyncStalled).reply(ClientApi::OpenAi),
    }
}

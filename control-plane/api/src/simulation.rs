//! `/api/v1/change-requests/{id}/simulation`, `/api/v1/apps/{id}/versions/{number}/simulation`,
//! `/api/v1/apps/{id}/simulation`

mod views;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::actor::Actor;
use latchkey_service::action::Refusal;
use latchkey_service::action::apps::edit::EditApp;
use latchkey_service::action::apps::proposal::{self, Proposal, ProposedApp};
use latchkey_service::simulation::{MOST_DAYS, ProposedChange};
use latchkey_store::Tx;
use latchkey_world::World;
use uuid::Uuid;

use super::Api;
use super::auth::ReaderGuard;
use super::body::{JsonBody, PathParams, Query};
use super::problem::Problem;

pub use views::{
    EstimateView, RefusedByModel, RefusedByRule, RefusedByUser, SimulationQuery, SimulationView, UntoldView,
};

const DAYS: u16 = 7;

/// Tries a pending change request on the requests of the last days: what it would have refused, and what would have
/// been spent. Nothing is changed. Simulations run one after the other; who has one running already gets a 503.
#[utoipa::path(get, path = "/api/v1/change-requests/{id}/simulation", tag = "change requests",
    operation_id = "simulate_change_request", params(("id" = Uuid, Path), SimulationQuery),
    security(("token" = [])), responses((status = 200, body = SimulationView), (status = "4XX", body = Problem),
    (status = 503, body = Problem)))]
pub async fn of_request(
    ReaderGuard(actor): ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<SimulationQuery>,
) -> Result<Json<SimulationView>, Problem> {
    simulate(&api, &actor, query, Tried::Request(id)).await
}

/// Tries a rollback on the requests of the last days, as a change request is tried.
#[utoipa::path(get, path = "/api/v1/apps/{id}/versions/{number}/simulation", tag = "versions",
    operation_id = "simulate_rollback",
    params(("id" = Uuid, Path), ("number" = i64, Path, minimum = 1), SimulationQuery),
    security(("token" = [])), responses((status = 200, body = SimulationView), (status = "4XX", body = Problem),
    (status = 503, body = Problem)))]
pub async fn of_rollback(
    ReaderGuard(actor): ReaderGuard,
    State(api): State<Api>,
    PathParams((id, number)): PathParams<(Uuid, i64)>,
    Query(query): Query<SimulationQuery>,
) -> Result<Json<SimulationView>, Problem> {
    simulate(&api, &actor, query, Tried::App(id, Proposal::Rollback(number))).await
}

/// Tries an edit on the requests of the last days, as a change request is tried. What the edit would be refused for
/// is refused here, too.
#[utoipa::path(post, path = "/api/v1/apps/{id}/simulation", tag = "apps", operation_id = "simulate_edit",
    params(("id" = Uuid, Path), SimulationQuery), request_body = EditApp,
    security(("token" = [])), responses((status = 200, body = SimulationView), (status = "4XX", body = Problem),
    (status = 503, body = Problem)))]
pub async fn of_edit(
    ReaderGuard(actor): ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<SimulationQuery>,
    JsonBody(edit): JsonBody<EditApp>,
) -> Result<Json<SimulationView>, Problem> {
    simulate(&api, &actor, query, Tried::App(id, Proposal::Edit(Box::new(edit)))).await
}

/// What is tried.
enum Tried {
    App(Uuid, Proposal),
    Request(Uuid),
}

impl Tried {
    async fn propose(self, tx: &mut Tx, world: &World) -> Result<ProposedApp, Refusal> {
        let (app, proposal) = match self {
            Self::App(app, proposal) => (app, proposal),
            Self::Request(id) => proposal::of_request(tx, id).await?,
        };
        proposal::propose(tx, world, app, proposal).await
    }
}

async fn simulate(
    api: &Api,
    actor: &Actor,
    SimulationQuery { days }: SimulationQuery,
    tried: Tried,
) -> Result<Json<SimulationView>, Problem> {
    let days = days.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Refusal::field("days", format!("must be 1 to {MOST_DAYS}")).into());
    }
    // Before the database is held, which others wait for.
    let turn = api.simulator.turn(actor).await?;
    let mut tx = api.store.begin().await?;
    let proposed = tried.propose(&mut tx, &api.world).await;
    tx.abandon().await?;
    let ProposedApp { now, then } = proposed?;
    let to = api.world.now();
    let from = to - SignedDuration::from_hours(i64::from(days) * 24);
    let change = ProposedChange { now, then, from: from.max(Timestamp::UNIX_EPOCH), to };
    Ok(Json(api.simulator.simulate(turn, &api.store, change).await?.into()))
}

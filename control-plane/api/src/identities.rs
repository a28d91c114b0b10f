//! `/api/v1/identities`

use axum::Json;
use axum::extract::State;
use latchkey_service::action;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::OwnerGuard;
use super::body::Query;
use super::problem::Problem;

/// Whose identities.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct IssuerQuery {
    /// The OpenID provider, exactly as the users' identities have it.
    #[param(max_length = 2048)]
    pub issuer: String,
}

/// What was unlinked.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Unlinked {
    /// How many users are linked anew at their next sign-in.
    pub users: u64,
}

/// Forgets who everybody is to an OpenID provider, as after a new client registration there, and signs those
/// people out; your own session stays. Who has their user's address there, verified, is linked at the next
/// sign-in.
#[utoipa::path(delete, path = "/api/v1/identities", tag = "users", operation_id = "unlink_users",
    params(IssuerQuery),
    security(("token" = [])), responses((status = 200, body = Unlinked), (status = "4XX", body = Problem)))]
pub async fn unlink_all(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    Query(IssuerQuery { issuer }): Query<IssuerQuery>,
) -> Result<Json<Unlinked>, Problem> {
    let mut tx = api.store.begin().await?;
    let users = action::users::unlink_all(&mut tx, api.context(&actor).by(), &issuer).await?;
    tx.commit().await?;
    Ok(Json(Unlinked { users }))
}

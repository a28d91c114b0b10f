//! `/api/v1/jwks`

use axum::extract::State;
use jiff::Timestamp;
use latchkey_core::identity::key::PublicKey;
use latchkey_store::jwks::FetchedJwkSet;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::auth::ReaderGuard;
use super::pagination::ListPage;
use super::problem::Problem;

/// A JWK set that apps name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JwkSetView {
    /// Where it is published.
    pub url: String,
    /// How many keys gateways were given: those of the last answer that was good.
    pub keys: usize,
    /// The names of those that have one.
    pub kids: Vec<String>,
    /// When that answer came; null before the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub fetched_at: Option<Timestamp>,
    /// When it was last asked for; null before the first time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub tried_at: Option<Timestamp>,
    /// Why that failed; null when it did not.
    pub error: Option<String>,
}

impl From<FetchedJwkSet> for JwkSetView {
    fn from(set: FetchedJwkSet) -> Self {
        let FetchedJwkSet { url, keys, fetched_at, tried_at, error, suspected_at: _ } = set;
        let kid = |key: PublicKey| Some(key.kid).filter(|kid| !kid.is_empty());
        Self {
            url,
            keys: keys.len(),
            kids: keys.into_iter().filter_map(kid).collect(),
            fetched_at,
            tried_at: Some(tried_at).filter(|at| *at > Timestamp::UNIX_EPOCH),
            error: Some(error).filter(|error| !error.is_empty()),
        }
    }
}

/// Lists the JWK sets that apps name, by URL.
#[utoipa::path(get, path = "/api/v1/jwks", tag = "apps", operation_id = "list_jwk_sets",
    security(("token" = [])), responses((status = 200, body = ListPage<JwkSetView>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<JwkSetView>, Problem> {
    let sets = api.store.jwk_sets().await?;
    Ok(ListPage { items: sets.into_iter().map(JwkSetView::from).collect(), next_cursor: None })
}

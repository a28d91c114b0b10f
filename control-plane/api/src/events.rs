//! `/api/v1/events`

use axum::extract::State;
use jiff::Timestamp;
use latchkey_core::event::KINDS;
use latchkey_store::conditions::ListedTime;
use latchkey_store::events::{AppEvent, EventFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::auth::ReaderGuard;
use super::body::Query;
use super::pagination::{ListPage, bad_query, in_order, paging};
use super::problem::Problem;

/// Something that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventView {
    /// Later events have higher ones.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What: `quota.threshold`, `key.rotated`, `change_request.submitted`, ….
    pub kind: String,
    /// To which app; null where it is of none.
    pub app_id: Option<Uuid>,
    /// The app's name as it is now.
    pub app_name: Option<String>,
    /// To which named key; null for the app as a whole.
    pub key_id: Option<Uuid>,
    /// The key's name as it is now.
    pub key_name: Option<String>,
    /// More about it, by kind.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// Which events.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only of this app.
    pub app_id: Option<Uuid>,
    /// Only of this named key.
    pub key_id: Option<Uuid>,
    /// Only of this kind, such as `quota.threshold`: docs/notifications.md lists them.
    pub kind: Option<String>,
    /// Only at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Only before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

impl From<AppEvent> for EventView {
    fn from(event: AppEvent) -> Self {
        let AppEvent { id, at, kind, app_id, app_name, key_id, key_name, data } = event;
        Self { id, at, kind, app_id, app_name, key_id, key_name, data }
    }
}

/// Lists what happened, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events", params(EventQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<EventView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<EventQuery>,
) -> Result<ListPage<EventView>, Problem> {
    let EventQuery { cursor, limit, app_id, key_id, kind, from, to } = query;
    in_order(from, to)?;
    let paging = paging(cursor.as_deref(), limit, None)?;
    if let Some(kind) = &kind
        && !KINDS.contains(&kind.as_str())
    {
        return Err(bad_query(format!("`{kind}` is not a valid `kind`: use one of {}", KINDS.join(", "))));
    }
    let time = ListedTime { from, to, now: api.world.now() };
    let filter = EventFilter { app: app_id, key: key_id, kind, time, before: paging.after };
    let rows = api.store.events(&filter, paging.rows()).await?;
    Ok(paging.page(rows, |event| event.id, EventView::from))
}

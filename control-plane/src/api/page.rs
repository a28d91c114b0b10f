//! Lists, page by page.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;

const MOST: u16 = 200;

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only items whose name holds this, in any case.
    pub search: Option<String>,
}

/// A page that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Those after this one.
    pub after: Option<Uuid>,
    /// How many.
    pub limit: u16,
}

impl PageQuery {
    /// The page that was asked for.
    ///
    /// # Errors
    /// A cursor that is none, or a limit out of range.
    pub fn wanted(&self) -> Result<Wanted, Problem> {
        wanted(self.cursor.as_deref(), self.limit, self.search.as_deref())
    }
}

/// The page that `cursor` and `limit` ask for.
///
/// # Errors
/// A cursor that is none, a limit out of range, or a search for what no name holds.
pub fn wanted(cursor: Option<&str>, limit: Option<u16>, search: Option<&str>) -> Result<Wanted, Problem> {
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail);
    let limit = limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(bad("`limit` must be 1 to 200"));
    }
    if search.is_some_and(|search| search.len() > 200 || search.chars().any(char::is_control)) {
        return Err(bad("`search` is longer than any name, or has a control character"));
    }
    let read = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Uuid::from_slice(&bytes).ok()
    };
    let after = match cursor {
        None => None,
        Some(text) => Some(read(text).ok_or_else(|| bad("`cursor` is not one that a page gave"))?),
    };
    Ok(Wanted { after, limit })
}

impl Wanted {
    /// How many rows to read: one more than the page holds, to know whether another follows.
    #[must_use]
    pub fn rows(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page made of those rows.
    pub fn page<R, T>(self, mut rows: Vec<R>, id: impl Fn(&R) -> Uuid, show: impl FnMut(R) -> T) -> Page<T> {
        let more = rows.len() > usize::from(self.limit);
        rows.truncate(self.limit.into());
        let last = rows.last().map(id).filter(|_| more);
        let next_cursor = last.map(|id| URL_SAFE_NO_PAD.encode(id.as_bytes()));
        Page { items: rows.into_iter().map(show).collect(), next_cursor }
    }
}

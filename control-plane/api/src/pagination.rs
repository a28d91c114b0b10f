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
#[schema(as = Page)]
pub struct ListPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Default for ListPage<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next_cursor: None }
    }
}

impl<T: Serialize> IntoResponse for ListPage<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only items whose name holds this, in any case.
    #[param(max_length = 200)]
    pub search: Option<String>,
}

/// What tells where on a list an item is.
pub trait CursorPosition: Sized {
    fn bytes(&self) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl CursorPosition for Uuid {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl CursorPosition for i64 {
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self::from_be_bytes).ok()
    }
}

/// A page that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Paging<P = Uuid> {
    pub after: Option<P>,
    pub limit: u16,
}

impl PageQuery {
    /// The first page, as long as one can be.
    #[must_use]
    pub fn most() -> Self {
        Self { limit: Some(MOST), ..Self::default() }
    }

    /// The page that was asked for.
    ///
    /// # Errors
    /// A cursor that is none, or a limit out of range.
    pub fn paging(&self) -> Result<Paging, Problem> {
        paging(self.cursor.as_deref(), self.limit, self.search.as_deref())
    }
}

/// The page that `cursor` and `limit` ask for.
///
/// # Errors
/// A cursor that is none, a limit out of range, or a search for what no name holds.
pub fn paging<P: CursorPosition>(
    cursor: Option<&str>,
    limit: Option<u16>,
    search: Option<&str>,
) -> Result<Paging<P>, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(bad_query("`limit` must be 1 to 200"));
    }
    if search.is_some_and(|search| search.len() > 200 || search.chars().any(char::is_control)) {
        return Err(bad_query("`search` is too long, or contains a control character"));
    }
    let read = |text: &str| P::read(&URL_SAFE_NO_PAD.decode(text).ok()?);
    let after = match cursor {
        None => None,
        Some(text) => {
            Some(read(text).ok_or_else(|| bad_query("`cursor` is not a cursor from an earlier page"))?)
        }
    };
    Ok(Paging { after, limit })
}

/// A query that is refused.
pub fn bad_query(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// Refuses a time that ends before it begins.
///
/// # Errors
/// `from` is after `to`.
pub fn in_order<T: PartialOrd>(from: Option<T>, to: Option<T>) -> Result<(), Problem> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => Err(bad_query("`from` must not be after `to`")),
        _ => Ok(()),
    }
}

impl<P: CursorPosition> Paging<P> {
    /// How many rows to read: one more than the page holds, to know whether another follows.
    #[must_use]
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page made of those rows.
    pub fn page<R, T>(
        self,
        mut rows: Vec<R>,
        position: impl Fn(&R) -> P,
        show: impl FnMut(R) -> T,
    ) -> ListPage<T> {
        let more = rows.len() > usize::from(self.limit);
        rows.truncate(self.limit.into());
        let last = rows.last().map(position).filter(|_| more);
        let next_cursor = last.map(|position| URL_SAFE_NO_PAD.encode(position.bytes()));
        ListPage { items: rows.into_iter().map(show).collect(), next_cursor }
    }
}

//! Lists, page by page.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use latchkey_api::body::Query;
use latchkey_api::pagination::ListPage;
use latchkey_api::problem::Problem;
use serde::de::DeserializeOwned;
use url::form_urlencoded::{self, Serializer};

use super::form::{Field, FieldKind, FormInput, HtmlForm};

/// What a list's page shows of it.
#[derive(Clone, Debug)]
pub struct PaginatedList<T> {
    pub items: Vec<T>,
    /// The path and query of the next page.
    pub more: Option<String>,
    /// Whether a filter may have kept something out.
    pub filtered: bool,
}

impl<T> PaginatedList<T> {
    /// A page of the list at `path`, which is filtered so.
    pub fn new(path: &str, filters: &[(&str, &str)], page: ListPage<T>) -> Self {
        let filtered = filters.iter().any(|(_, value)| !value.is_empty());
        Self {
            items: page.items,
            more: page.next_cursor.map(|cursor| next_page(path, filters, &cursor)),
            filtered,
        }
    }

    /// The same of a list whose filters are these fields of a form.
    pub fn of(path: &str, form: &FormInput, fields: &[&str], page: ListPage<T>) -> Self {
        let filters: Vec<_> = fields.iter().map(|name| (*name, form.text(name))).collect();
        Self::new(path, &filters, page)
    }

    pub fn map<U>(self, show: impl FnMut(T) -> U) -> PaginatedList<U> {
        let Self { items, more, filtered } = self;
        PaginatedList { items: items.into_iter().map(show).collect(), more, filtered }
    }
}

/// Where the same list is exported.
#[derive(Clone, Debug)]
pub struct ExportLinks {
    /// As CSV.
    pub csv: String,
    /// As lines of JSON.
    pub ndjson: String,
}

impl ExportLinks {
    /// Of the list that the API has at `path`, by what was asked of it: these fields, which are the API's; the form's own
    /// and the cursor are not.
    pub fn new(path: &str, asked: &FormInput, fields: &[Field]) -> Self {
        let link = |format: &str| {
            let mut query = Serializer::new(String::new());
            query.append_pair("format", format);
            let fields = fields.iter().filter(|(name, kind)| *kind != FieldKind::Aside && *name != "cursor");
            query.extend_pairs(
                fields.map(|(name, _)| (*name, asked.text(name))).filter(|(_, text)| !text.is_empty()),
            );
            format!("/api/v1{path}/export?{}", query.finish())
        };
        Self { csv: link("csv"), ndjson: link("ndjson") }
    }
}

fn next_page(path: &str, filters: &[(&str, &str)], cursor: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(filters.iter().filter(|(_, value)| !value.is_empty()));
    query.append_pair("cursor", cursor);
    format!("{path}?{}", query.finish())
}

/// A list that is filtered by what was asked: its status, its filters as a form, and what it holds; none
/// where a filter is wrong, which stands in the form.
///
/// # Errors
/// The problem, where it is not about the filters.
pub fn filtered<T: Default>(
    form: HtmlForm,
    found: Result<T, Problem>,
) -> Result<(StatusCode, HtmlForm, T), Problem> {
    match found {
        Ok(found) => Ok((StatusCode::OK, form, found)),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Ok((status, form.refused(problem)?, T::default()))
        }
    }
}

/// The query of a list's filters, of which those that are empty are not there.
#[derive(Clone, Debug)]
pub struct Filter<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Filter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut filled = parts.clone();
        filled.uri =
            filled_in(parts.uri.query().unwrap_or_default()).parse().map_err(|_| Problem::internal())?;
        let Query(query) = Query::from_request_parts(&mut filled, state).await?;
        Ok(Self(query))
    }
}

/// A query without what is empty.
fn filled_in(query: &str) -> String {
    let typed = form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty());
    format!("/?{}", Serializer::new(String::new()).extend_pairs(typed).finish())
}

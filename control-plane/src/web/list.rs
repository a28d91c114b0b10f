//! Lists, page by page.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use url::form_urlencoded::{self, Serializer};

use super::form::{Form, Typed};
use crate::api::body::Query;
use crate::api::problem::Problem;

/// The way to a list's next page, where there is one.
pub type More = Option<Next>;

/// The path and query of a list's next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

impl std::fmt::Display for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Next {
    /// Of the list at `path` that is filtered so, after `cursor`.
    #[must_use]
    pub fn new(path: &str, filter: &[(&str, &str)], cursor: Option<&str>) -> More {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(filter.iter().filter(|(_, value)| !value.is_empty()));
        query.append_pair("cursor", cursor?);
        Some(Self(format!("{path}?{}", query.finish())))
    }

    /// The same of a list whose filters are these fields of what was asked.
    #[must_use]
    pub fn of(path: &str, asked: &Typed, fields: &[&str], cursor: Option<&str>) -> More {
        let filter: Vec<_> = fields.iter().map(|name| (*name, asked.text(name))).collect();
        Self::new(path, &filter, cursor)
    }
}

/// A list that is filtered by what was asked: its status, its filters as a form, and what it holds; none
/// where a filter is wrong, which stands in the form.
///
/// # Errors
/// The problem, where it is not about the filters.
pub fn filtered<T: Default>(form: Form, found: Result<T, Problem>) -> Result<(StatusCode, Form, T), Problem> {
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

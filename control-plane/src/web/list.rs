//! Lists, page by page, and what was created.

use axum::body::to_bytes;
use axum::response::Response;
use serde_json::Value;
use url::form_urlencoded::Serializer;

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
}

/// What the API answered to a creation.
///
/// # Errors
/// It did not answer with JSON.
pub async fn created(response: Response) -> Result<Value, Problem> {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.map_err(|_| Problem::internal())?;
    serde_json::from_slice(&bytes).map_err(|_| Problem::internal())
}

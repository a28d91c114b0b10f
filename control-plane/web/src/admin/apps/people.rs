//! People, by their addresses.

use axum::extract::State;
use latchkey_api::body::Query;
use latchkey_api::pagination::PageQuery;
use latchkey_api::problem::Problem;
use latchkey_api::{Api, users};
use latchkey_core::invalid::FieldError;
use uuid::Uuid;

use crate::frame::Visit;

/// The user with the address that was typed into `field`.
///
/// # Errors
/// There is none.
pub async fn at(visit: &Visit, api: &Api, field: &str, email: &str) -> Result<Uuid, Problem> {
    let email = email.trim().to_lowercase();
    let query = PageQuery { search: Some(email.clone()), ..PageQuery::most() };
    let found = users::list(visit.reader()?, State(api.clone()), Query(query)).await?.items;
    let user = found.into_iter().find(|user| user.email.as_str() == email);
    let unknown = || Problem::invalid(FieldError::new(field, "no user has this email address").into());
    user.map(|user| user.id).ok_or_else(unknown)
}

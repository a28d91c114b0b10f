//! Whom records are of, where they claim an address.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use serde::Serialize;
use sqlx::Row as _;
use uuid::Uuid;

use super::bulk::Bulk;
use super::bulk::Column::Text;
use crate::store::Tx;
use crate::store::row::Columns as _;

#[derive(Serialize)]
struct Row<'a> {
    email: &'a str,
}

static USERS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("SELECT id, email FROM users WHERE email IN ({rows})", &[Text("email")]));

impl Tx {
    /// The users who have one of these addresses.
    ///
    /// # Errors
    /// The database is away.
    pub async fn users_by_email(&mut self, emails: &BTreeSet<&str>) -> sqlx::Result<HashMap<String, Uuid>> {
        let rows: Vec<_> = emails.iter().map(|email| Row { email }).collect();
        let users = self.read(&USERS, &rows).await?;
        users.iter().map(|row| Ok((row.try_get("email")?, row.uuid("id")?))).collect()
    }
}

//! What is searched in, of rows that an earlier version wrote.

use latchkey_core::search::folded;
use sqlx::Row as _;

use super::Store;
use super::users::search_text;

/// How many are written in one transaction.
const BATCH: usize = 1000;

macro_rules! tables {
    ($($table:literal, $email:literal);*) => {
        [$((
            concat!("SELECT id, name, ", $email, " AS email FROM ", $table, " WHERE search_text = '' LIMIT 1000"),
            concat!("UPDATE ", $table, " SET search_text = $1 WHERE id = $2 AND name = $3"),
        )),*]
    };
}

impl Store {
    /// Writes it for the rows that have none.
    pub(super) async fn fill_search_texts(&self) -> sqlx::Result<()> {
        let tables = tables!["apps", "''"; "keys", "''"; "users", "email"; "tokens", "''"; "groups", "''"];
        for (select, update) in tables {
            loop {
                let rows = sqlx::query(select).fetch_all(&self.pool).await?;
                let mut tx = self.begin().await?;
                for row in &rows {
                    let (name, email): (&str, &str) = (row.try_get("name")?, row.try_get("email")?);
                    let text = if email.is_empty() { folded(name) } else { search_text(name, email) };
                    sqlx::query(update)
                        .bind(text)
                        .bind(row.try_get::<String, _>("id")?)
                        .bind(name.to_owned())
                        .execute(&mut *tx.inner)
                        .await?;
                }
                tx.commit().await?;
                if rows.len() < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }
}

//! Which master key this database's secrets are sealed with.

use sqlx::Row as _;

use super::{Store, Tx};

impl Store {
    /// What was sealed at the first start.
    pub async fn sealed_check(&self) -> sqlx::Result<Option<Vec<u8>>> {
        let row = sqlx::query("SELECT sealed_check FROM master_key WHERE id = 1")
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| row.try_get("sealed_check")).transpose()
    }
}

impl Tx {
    /// Keeps what was sealed at the first start, unless another start was quicker.
    pub async fn keep_sealed_check(&mut self, sealed: Vec<u8>) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO master_key (id, sealed_check) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(sealed)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

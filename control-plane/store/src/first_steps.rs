//! What has been set up, until the first request has succeeded.

use uuid::Uuid;

use super::Store;
use super::keys::{mode, open_to_somebody};
use super::row::Columns as _;

/// Which of the first steps are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstSteps {
    /// An enabled provider.
    pub provider: bool,
    /// An enabled model.
    pub model: bool,
    /// The oldest app.
    pub app: Option<Uuid>,
    /// Whether an app gives anybody access.
    pub access: bool,
    /// Whether there is a key that a gateway may accept: a named one, or that of an app in shared mode.
    pub key: bool,
}

impl Store {
    /// Whether any request has succeeded: one that used tokens, or one of the newest records. Sums outlive records.
    pub async fn has_succeeded(&self) -> sqlx::Result<bool> {
        let row = sqlx::query(
            "SELECT 1 AS found WHERE EXISTS
             (SELECT 1 FROM usage_days WHERE requests > denied AND input_tokens + output_tokens > 0)
             OR EXISTS (SELECT 1 FROM (SELECT status FROM records ORDER BY id DESC LIMIT 1000) AS newest
              WHERE status >= 200 AND status < 400)",
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// Which of the first steps are done.
    pub async fn first_steps(&self) -> sqlx::Result<FirstSteps> {
        let row = sqlx::query(concat!(
            "SELECT (SELECT COUNT(*) FROM providers WHERE enabled = 1) AS providers,
                 (SELECT COUNT(*) FROM models WHERE enabled = 1) AS models,
                 (SELECT MIN(id) FROM apps WHERE deleted_at IS NULL AND status = 'active') AS app,
                 (SELECT COUNT(*) FROM apps WHERE deleted_at IS NULL AND ",
            open_to_somebody!(),
            ") AS accessible,
                 (SELECT COUNT(*) FROM keys JOIN apps ON apps.id = keys.app_id
                  WHERE apps.deleted_at IS NULL AND keys.status = 'active'
                  AND (keys.user_id IS NOT NULL OR apps.settings LIKE '{\"mode\":\"shared\"%')) AS keys"
        ))
        .fetch_one(&self.pool)
        .await?;
        let any = |column| Ok::<_, sqlx::Error>(row.count(column)? > 0);
        Ok(FirstSteps {
            provider: any("providers")?,
            model: any("models")?,
            app: row.optional_uuid("app")?,
            access: any("accessible")?,
            key: any("keys")?,
        })
    }
}

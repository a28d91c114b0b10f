//! Models, each offered by one provider.

use jiff::Timestamp;
use latchkey_core::name::ModelName;
use latchkey_core::provider::{Dialect, OutputLimit};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::prices::{self, Charged, charged};
use super::row::{Columns as _, dialect, unfit};
use super::{Store, Tx};

/// A model as one provider offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Opaque.
    pub id: Uuid,
    /// What clients ask for.
    pub name: ModelName,
    /// The provider's name.
    pub provider: String,
    /// What the provider calls it.
    pub upstream_name: ModelName,
    /// Whether it can be called.
    pub enabled: bool,
    /// What it costs; none where that is not known.
    pub price: Option<Charged>,
    /// The most tokens of one answer.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of input and output together.
    pub context_window: Option<u64>,
    /// How it wants to be asked, where that differs from its provider.
    pub dialect: Dialect,
    /// When it was made.
    pub created_at: Timestamp,
}

impl TryFrom<AnyRow> for Model {
    type Error = sqlx::Error;

    fn try_from(row: AnyRow) -> sqlx::Result<Self> {
        let name = |column| {
            row.try_get::<String, _>(column)
                .and_then(|text| ModelName::try_from(text).map_err(|error| unfit(column, error)))
        };
        Ok(Self {
            id: row.uuid("id")?,
            name: name("name")?,
            provider: row.try_get("provider")?,
            upstream_name: name("upstream_name")?,
            enabled: row.flag("enabled")?,
            price: charged(&row)?,
            max_output_tokens: row.optional_count("max_output_tokens")?,
            context_window: row.optional_count("context_window")?,
            dialect: dialect(&row)?,
            created_at: row.time("created_at")?,
        })
    }
}

/// A model's columns with its price's, and whatever follows.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT models.id, name, models.provider, upstream_name, enabled, price_version, ",
            prices::columns!(),
            ", max_output_tokens, context_window, output_limit, stream_options, models.created_at FROM models ",
            "LEFT JOIN prices ON version = price_version ",
            $rest
        )
    };
}

impl Store {
    /// Every model, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn models(&self) -> sqlx::Result<Vec<Model>> {
        sqlx::query(select!("ORDER BY models.id"))
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(Model::try_from)
            .collect()
    }

    /// The model with this id.
    ///
    /// # Errors
    /// The database is away.
    pub async fn model(&self, id: Uuid) -> sqlx::Result<Option<Model>> {
        sqlx::query(select!("WHERE models.id = $1"))
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?
            .map(Model::try_from)
            .transpose()
    }
}

impl Tx {
    /// Whether any provider offers a model of this name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn has_model(&mut self, name: &str) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT id FROM models WHERE name = $1 LIMIT 1")
            .bind(name.to_owned())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// Whether a provider offers a model of this name.
    pub async fn offers_model(&mut self, provider: &str, name: &str) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT id FROM models WHERE provider = $1 AND name = $2")
            .bind(provider.to_owned())
            .bind(name.to_owned())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// The model with this id, locked until the transaction ends.
    ///
    /// # Errors
    /// The database is away.
    pub async fn model(&mut self, id: Uuid) -> sqlx::Result<Option<Model>> {
        sqlx::query("UPDATE models SET enabled = enabled WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        sqlx::query(select!("WHERE models.id = $1"))
            .bind(id.to_string())
            .fetch_optional(&mut *self.inner)
            .await?
            .map(Model::try_from)
            .transpose()
    }

    /// How many models there are.
    ///
    /// # Errors
    /// The database is away.
    pub async fn count_models(&mut self) -> sqlx::Result<i64> {
        sqlx::query("SELECT COUNT(*) AS models FROM models")
            .fetch_one(&mut *self.inner)
            .await?
            .try_get("models")
    }

    /// Adds a model. One that its provider already offers is a unique violation.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_model(&mut self, model: &Model) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO models (id, name, provider, upstream_name, enabled, created_at, price_version,
             max_output_tokens, context_window, output_limit, stream_options)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(model.id.to_string())
        .bind(model.name.as_str().to_owned())
        .bind(model.provider.clone())
        .bind(model.upstream_name.as_str().to_owned())
        .bind(i64::from(model.enabled))
        .bind(model.created_at.as_millisecond())
        .bind(version(model)?)
        .bind(number("max_output_tokens", model.max_output_tokens)?)
        .bind(number("context_window", model.context_window)?)
        .bind(model.dialect.output_limit.map(OutputLimit::as_str))
        .bind(model.dialect.stream_options.map(i64::from))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Writes everything of a model that can change; false when there is none.
    ///
    /// # Errors
    /// The database is away.
    pub async fn update_model(&mut self, model: &Model) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE models SET upstream_name = $1, enabled = $2, price_version = $3, max_output_tokens = $4,
             context_window = $5, output_limit = $6, stream_options = $7 WHERE id = $8",
        )
        .bind(model.upstream_name.as_str().to_owned())
        .bind(i64::from(model.enabled))
        .bind(version(model)?)
        .bind(number("max_output_tokens", model.max_output_tokens)?)
        .bind(number("context_window", model.context_window)?)
        .bind(model.dialect.output_limit.map(OutputLimit::as_str))
        .bind(model.dialect.stream_options.map(i64::from))
        .bind(model.id.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes a model; false when there is none.
    ///
    /// # Errors
    /// The database is away.
    pub async fn delete_model(&mut self, id: Uuid) -> sqlx::Result<bool> {
        let done = sqlx::query("DELETE FROM models WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// How many models a provider offers.
    ///
    /// # Errors
    /// The database is away.
    pub async fn count_models_of(&mut self, provider: &str) -> sqlx::Result<i64> {
        sqlx::query("SELECT COUNT(*) AS models FROM models WHERE provider = $1")
            .bind(provider.to_owned())
            .fetch_one(&mut *self.inner)
            .await?
            .try_get("models")
    }
}

fn version(model: &Model) -> sqlx::Result<Option<i64>> {
    number("price_version", model.price.as_ref().map(|charged| charged.version))
}

fn number(column: &str, number: Option<u64>) -> sqlx::Result<Option<i64>> {
    number.map(|number| i64::try_from(number).map_err(|error| unfit(column, error))).transpose()
}

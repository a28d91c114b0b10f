//! Statements with many rows at once. The rows travel as one parameter, a JSON array of objects, so that
//! each statement is prepared once, takes one round trip, and costs no more for the parameters than for
//! the rows: SQLite looks every numbered parameter up by its name.

use serde::Serialize;
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::{Backend, Tx};

/// A column of the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// A row that is an id: of the column `id`.
#[derive(Serialize)]
pub(crate) struct IdRow {
    id: Uuid,
}

pub(crate) fn id_rows<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> Vec<IdRow> {
    ids.into_iter().map(|id| IdRow { id: *id }).collect()
}

/// One statement, for each database.
pub(crate) struct Bulk {
    sqlite: String,
    postgres: String,
}

impl Column {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn definition(self) -> String {
        match self {
            Self::Text(name) => format!("{name} TEXT"),
            Self::Number(name) => format!("{name} BIGINT"),
        }
    }
}

impl Bulk {
    /// A statement whose `{columns}` stands for the names of the rows' columns, and `{rows}` for a query
    /// that gives the rows in their order.
    pub(crate) fn new(template: &str, columns: &[Column]) -> Self {
        let list = |text: fn(Column) -> String| {
            columns.iter().map(|column| text(*column)).collect::<Vec<_>>().join(", ")
        };
        let names = list(|column| column.name().to_owned());
        let values = list(|column| format!("value ->> '{0}' AS {0}", column.name()));
        let definitions = list(Column::definition);
        let template = template.replace("{columns}", &names);
        // Without a condition SQLite takes ON CONFLICT for that of a join; without a limit it writes each row
        // out as JSON again for each of its columns.
        let sqlite = format!("SELECT {values} FROM (SELECT value FROM json_each($1) LIMIT -1) WHERE TRUE");
        let postgres =
            format!("SELECT {names} FROM json_to_recordset(CAST($1 AS JSON)) AS given({definitions})");
        Self { sqlite: template.replace("{rows}", &sqlite), postgres: template.replace("{rows}", &postgres) }
    }

    fn text(&'static self, backend: Backend) -> &'static str {
        match backend {
            Backend::Sqlite => &self.sqlite,
            Backend::Postgres => &self.postgres,
        }
    }
}

impl Tx {
    /// Runs a statement on these rows.
    pub(crate) async fn write(&mut self, bulk: &'static Bulk, rows: &[impl Serialize]) -> sqlx::Result<()> {
        if !rows.is_empty() {
            let query = sqlx::query(bulk.text(self.backend)).bind(json(rows)?);
            query.execute(&mut *self.inner).await?;
        }
        Ok(())
    }

    /// Runs a statement on these rows; what it gives.
    pub(crate) async fn read(
        &mut self,
        bulk: &'static Bulk,
        rows: &[impl Serialize],
    ) -> sqlx::Result<Vec<AnyRow>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let query = sqlx::query(bulk.text(self.backend)).bind(json(rows)?);
        query.fetch_all(&mut *self.inner).await
    }
}

fn json(rows: &[impl Serialize]) -> sqlx::Result<String> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_read_the_same_rows() {
        let bulk = Bulk::new("INSERT INTO t ({columns}) {rows}", &[Column::Text("a"), Column::Number("b")]);
        assert_eq!(
            bulk.sqlite,
            "INSERT INTO t (a, b) SELECT value ->> 'a' AS a, value ->> 'b' AS b \
             FROM (SELECT value FROM json_each($1) LIMIT -1) WHERE TRUE"
        );
        assert_eq!(
            bulk.postgres,
            "INSERT INTO t (a, b) SELECT a, b FROM json_to_recordset(CAST($1 AS JSON)) AS given(a TEXT, b BIGINT)"
        );
    }
}

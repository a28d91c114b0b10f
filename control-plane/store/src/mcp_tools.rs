//! Tools of MCP servers, as gateways have seen them.

use std::sync::LazyLock;

use latchkey_core::mcp_tools::{ApprovedTool, DefinitionForm, SeenTool, Tool, ToolPinning, ToolVersion};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::ledger::bulk::{Bulk, Column};
use super::row::Columns as _;
use super::{Store, Tx};

/// A tool with its server's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTool {
    pub server: String,
    pub tool: Tool,
}

/// What gateways hold of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRow {
    pub server: String,
    pub tool: String,
    /// In hexadecimal.
    pub hash: String,
    /// Whether it is quarantined.
    pub changed: bool,
    /// Unix milliseconds.
    pub approved_at_ms: i64,
}

macro_rules! columns {
    () => {
        "server, name, state, approved_hash, approved_definition, approved_form, approved_by, approved_at, seen_hash, \
         seen_definition, seen_form, seen_at, first_seen_at"
    };
}

/// Columns of tools as gateways see them.
const SIGHTED: &[Column] = &[
    Column::Text("server"),
    Column::Text("name"),
    Column::Text("state"),
    Column::Text("approved_hash"),
    Column::Text("approved_definition"),
    Column::Text("approved_form"),
    Column::Text("approved_by"),
    Column::Number("approved_at"),
    Column::Text("seen_hash"),
    Column::Text("seen_definition"),
    Column::Text("seen_form"),
    Column::Number("seen_at"),
    Column::Number("first_seen_at"),
];

#[derive(Serialize)]
struct SightedRow<'a> {
    server: &'a str,
    name: &'a str,
    state: &'static str,
    approved_hash: Option<&'a str>,
    approved_definition: Option<&'a str>,
    approved_form: Option<&'static str>,
    approved_by: Option<&'a str>,
    approved_at: Option<i64>,
    seen_hash: &'a str,
    seen_definition: Option<&'a str>,
    seen_form: &'static str,
    seen_at: i64,
    first_seen_at: i64,
}

/// What is approved stays as it is where there is something.
static PUT_SIGHTED: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO mcp_tools ({columns}) {rows}
         ON CONFLICT (server, name) DO UPDATE SET state = excluded.state,
         seen_definition = CASE WHEN excluded.seen_definition IS NULL AND excluded.seen_hash = mcp_tools.seen_hash
             THEN mcp_tools.seen_definition ELSE excluded.seen_definition END,
         seen_hash = excluded.seen_hash, seen_form = excluded.seen_form, seen_at = excluded.seen_at",
        SIGHTED,
    )
});

/// What a row says of a definition. A replica of an older version writes no forms, and leaves `clear` for what it does
/// not keep.
fn form(row: &AnyRow, column: &str) -> sqlx::Result<DefinitionForm> {
    let word: Option<String> = row.try_get(column)?;
    Ok(word.and_then(|word| word.parse().ok()).unwrap_or(DefinitionForm::Unknown))
}

impl FromRow<'_, AnyRow> for ServerTool {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let approved_hash: Option<String> = row.try_get("approved_hash")?;
        let approved = match (approved_hash, row.optional_time("approved_at")?) {
            (Some(hash), Some(at)) => Some(ApprovedTool {
                definition: ToolVersion {
                    hash,
                    form: form(row, "approved_form")?,
                    text: row.try_get("approved_definition")?,
                },
                by: row.try_get("approved_by")?,
                at,
            }),
            _ => None,
        };
        let (form, text) = (form(row, "seen_form")?, row.try_get("seen_definition")?);
        let definition = ToolVersion { hash: row.try_get("seen_hash")?, form, text }.as_kept();
        let seen = SeenTool { definition, at: row.time("seen_at")? };
        let tool = Tool {
            name: row.try_get("name")?,
            state: row.parsed("state")?,
            approved,
            seen,
            first_seen_at: row.time("first_seen_at")?,
        };
        Ok(Self { server: row.try_get("server")?, tool })
    }
}

impl Store {
    /// The tools of a server after the one of a name, by name.
    pub async fn mcp_tools(&self, server: &str, after: &str, limit: i64) -> sqlx::Result<Vec<ServerTool>> {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM mcp_tools WHERE server = $1 AND name > $2 ORDER BY name LIMIT $3"
        ))
        .bind(server.to_owned())
        .bind(after.to_owned())
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    pub async fn mcp_tool(&self, server: &str, name: &str) -> sqlx::Result<Option<ServerTool>> {
        sqlx::query_as(concat!("SELECT ", columns!(), " FROM mcp_tools WHERE server = $1 AND name = $2"))
            .bind(server.to_owned())
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    /// How many tools wait for an admin, over all servers whose tools are pinned.
    pub async fn count_waiting_mcp_tools(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar(
            "SELECT COUNT(*) FROM mcp_tools JOIN mcp_servers ON mcp_servers.name = mcp_tools.server
             WHERE mcp_tools.state IN ('changed', 'new') AND mcp_servers.tool_pinning <> $1",
        )
        .bind(ToolPinning::Unpinned.as_str())
        .fetch_one(&self.pool)
        .await
    }

    /// The approved tools of all servers, by server and name.
    pub(super) async fn mcp_pins(&self) -> sqlx::Result<Vec<PinRow>> {
        let rows = sqlx::query(
            "SELECT server, name, approved_hash, approved_at, state FROM mcp_tools WHERE approved_hash IS NOT NULL
             ORDER BY server, name",
        )
        .fetch_all(&self.pool)
        .await?;
        let pin = |row: AnyRow| -> sqlx::Result<PinRow> {
            Ok(PinRow {
                server: row.try_get("server")?,
                tool: row.try_get("name")?,
                hash: row.try_get("approved_hash")?,
                changed: row.try_get::<&str, _>("state")? == "changed",
                approved_at_ms: row.try_get("approved_at")?,
            })
        };
        rows.into_iter().map(pin).collect()
    }
}

impl Tx {
    /// A tool of a server. Whoever changes it holds the lock of its server.
    pub async fn mcp_tool(&mut self, server: &str, name: &str) -> sqlx::Result<Option<ServerTool>> {
        sqlx::query_as(concat!("SELECT ", columns!(), " FROM mcp_tools WHERE server = $1 AND name = $2"))
            .bind(server.to_owned())
            .bind(name.to_owned())
            .fetch_optional(&mut *self.inner)
            .await
    }

    /// The tools of a server that wait to be approved for the first time, by name.
    pub async fn new_mcp_tools(&mut self, server: &str) -> sqlx::Result<Vec<ServerTool>> {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM mcp_tools WHERE server = $1 AND state = 'new' ORDER BY name"
        ))
        .bind(server.to_owned())
        .fetch_all(&mut *self.inner)
        .await
    }

    /// The tools of a server with empty definitions, where there are any: what they say is not read. Whoever changes
    /// them holds the lock of their server.
    pub async fn mcp_tool_states(&mut self, server: &str) -> sqlx::Result<Vec<ServerTool>> {
        sqlx::query_as(
            "SELECT server, name, state, approved_hash, CASE WHEN approved_definition IS NOT NULL THEN '' END
                 AS approved_definition, approved_form, approved_by, approved_at, seen_hash,
                 CASE WHEN seen_definition IS NOT NULL THEN '' END AS seen_definition, seen_form, seen_at, first_seen_at
             FROM mcp_tools WHERE server = $1",
        )
        .bind(server.to_owned())
        .fetch_all(&mut *self.inner)
        .await
    }

    /// Writes tools of a server as gateways see them now. What is approved of one that is known stays, and so does a
    /// definition that is known, where the given one is empty or missing.
    pub async fn put_sighted_mcp_tools<'a>(
        &mut self,
        server: &str,
        tools: impl IntoIterator<Item = &'a Tool>,
    ) -> sqlx::Result<()> {
        let text = |version: &'a ToolVersion| version.text.as_deref().filter(|text| !text.is_empty());
        let row = |Tool { name, state, approved, seen, first_seen_at }: &'a Tool| {
            let approved = approved.as_ref();
            SightedRow {
                server,
                name,
                state: state.as_str(),
                approved_hash: approved.map(|it| it.definition.hash.as_str()),
                approved_definition: approved.and_then(|it| text(&it.definition)),
                approved_form: approved.map(|it| it.definition.form.as_str()),
                approved_by: approved.and_then(|it| it.by.as_deref()),
                approved_at: approved.map(|it| it.at.as_millisecond()),
                seen_hash: &seen.definition.hash,
                seen_definition: text(&seen.definition),
                seen_form: seen.definition.form.as_str(),
                seen_at: seen.at.as_millisecond(),
                first_seen_at: first_seen_at.as_millisecond(),
            }
        };
        let rows: Vec<_> = tools.into_iter().map(row).collect();
        self.write(&PUT_SIGHTED, &rows).await
    }

    /// Writes a tool of a server as it is now.
    pub async fn put_mcp_tool(&mut self, server: &str, tool: &Tool) -> sqlx::Result<()> {
        let Tool { name, state, approved, seen, first_seen_at } = tool;
        let of_approved = |part: fn(&ApprovedTool) -> Option<String>| approved.as_ref().and_then(part);
        sqlx::query(concat!(
            "INSERT INTO mcp_tools (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             ON CONFLICT (server, name) DO UPDATE SET state = excluded.state, approved_hash = excluded.approved_hash,
             approved_definition = excluded.approved_definition, approved_form = excluded.approved_form,
             approved_by = excluded.approved_by, approved_at = excluded.approved_at, seen_hash = excluded.seen_hash,
             seen_definition = excluded.seen_definition, seen_form = excluded.seen_form, seen_at = excluded.seen_at"
        ))
        .bind(server.to_owned())
        .bind(name.clone())
        .bind(state.as_str())
        .bind(of_approved(|it| Some(it.definition.hash.clone())))
        .bind(of_approved(|it| it.definition.text.clone()))
        .bind(of_approved(|it| Some(it.definition.form.as_str().to_owned())))
        .bind(of_approved(|it| it.by.clone()))
        .bind(approved.as_ref().map(|it| it.at.as_millisecond()))
        .bind(seen.definition.hash.clone())
        .bind(seen.definition.text.clone())
        .bind(seen.definition.form.as_str())
        .bind(seen.at.as_millisecond())
        .bind(first_seen_at.as_millisecond())
        .execute(&mut *self.inner)
        .await
        .map(drop)
    }

    /// Forgets a tool of a server. Tells whether there was one.
    pub async fn delete_mcp_tool(&mut self, server: &str, name: &str) -> sqlx::Result<bool> {
        let query = sqlx::query("DELETE FROM mcp_tools WHERE server = $1 AND name = $2");
        let done = query.bind(server.to_owned()).bind(name.to_owned()).execute(&mut *self.inner).await?;
        Ok(done.rows_affected() > 0)
    }
}

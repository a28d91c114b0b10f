//! Lists as files: CSV for spreadsheets, or a line of JSON for each row.
//!
//! Rows are read and sent some thousand at a time, so that an export takes as much memory as one page of it.

use std::fmt;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use latchkey_store::{Error, Result};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::body::Query;
use super::pagination::bad_query;
use super::problem::Problem;

/// Rows that are held at a time.
pub(super) const PAGE: i64 = 2_000;

/// What a file is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// A line of column names, and one for each row. A text that a spreadsheet would take for a formula has an
    /// apostrophe before it.
    Csv,
    /// A line of JSON for each row.
    #[default]
    Ndjson,
}

/// What an export is asked besides the filters of its list.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// `ndjson` by default.
    pub format: Option<ExportFormat>,
}

/// An export of a list that takes the query `Q`. It has no pages.
#[derive(Clone, Debug)]
pub struct Export<Q> {
    /// What it is written in.
    pub format: ExportFormat,
    /// The filters.
    pub query: Q,
}

impl<S: Send + Sync, Q: DeserializeOwned> FromRequestParts<S> for Export<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Problem> {
        let is_format = |pair: &&str| pair.starts_with("format=");
        let query = parts.uri.query().unwrap_or_default();
        let (format, filters): (Vec<_>, Vec<_>) = query.split('&').partition(is_format);
        if filters.iter().any(|pair| pair.starts_with("cursor=") || pair.starts_with("limit=")) {
            return Err(bad_query("an export has no pages: leave out `cursor` and `limit`"));
        }
        let Query(ExportQuery { format }) = read(parts, state, &format).await?;
        let Query(query) = read(parts, state, &filters).await?;
        Ok(Self { format: format.unwrap_or_default(), query })
    }
}

/// Reads a part of a query.
async fn read<S: Send + Sync, Q: DeserializeOwned>(
    parts: &Parts,
    state: &S,
    pairs: &[&str],
) -> std::result::Result<Query<Q>, Problem> {
    let mut part = parts.clone();
    part.uri = format!("/?{}", pairs.join("&")).parse().map_err(|_| Problem::internal())?;
    Query::from_request_parts(&mut part, state).await
}

/// The pages of a list, newest first: `read` gives the page after the row with this number.
pub(super) fn pages<T: Send + 'static>(
    read: impl Fn(Option<i64>) -> BoxFuture<'static, Result<Vec<T>>> + Send + 'static,
    number: fn(&T) -> i64,
) -> impl Stream<Item = Result<Vec<T>>> + Send + 'static {
    stream::try_unfold(Some(None), move |place: Option<Option<i64>>| {
        let page = place.map(&read);
        async move {
            let Some(page) = page else { return Ok(None) };
            let page = page.await?;
            let Some(last) = page.last().map(number) else { return Ok(None) };
            // After a page that is not full there is none: looking for it would read all that is older.
            let next = (i64::try_from(page.len()) == Ok(PAGE)).then_some(Some(last));
            Ok(Some((page, next)))
        }
    })
}

/// The file called `latchkey-<name>`.
pub(super) fn file<T: Serialize + Send + 'static>(
    name: &str,
    format: ExportFormat,
    columns: Vec<String>,
    pages: impl Stream<Item = Result<Vec<T>>> + Send + 'static,
) -> Response {
    let (extension, kind) = match format {
        ExportFormat::Csv => ("csv", "text/csv; charset=utf-8"),
        ExportFormat::Ndjson => ("ndjson", "application/x-ndjson"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"latchkey-{name}.{extension}\"")),
    ];
    let body = match format {
        ExportFormat::Csv => {
            let head = stream::once(std::future::ready(csv_line(columns.iter().map(String::as_str))));
            let rows = pages.and_then(move |page| std::future::ready(csv(&page, &columns)));
            Body::from_stream(head.chain(rows))
        }
        ExportFormat::Ndjson => Body::from_stream(pages.and_then(async |page| ndjson(&page))),
    };
    (headers, body).into_response()
}

/// The names of the fields of a row, in their order.
pub(super) fn columns<T: Serialize + Default>() -> Result<Vec<String>> {
    let Fields(fields) = fields(&T::default())?;
    Ok(fields.into_iter().map(|(name, _)| name).collect())
}

fn ndjson(rows: &[impl Serialize]) -> Result<Bytes> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).map_err(encode)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

fn csv(rows: &[impl Serialize], columns: &[String]) -> Result<Bytes> {
    let mut lines = Vec::new();
    for row in rows {
        let Fields(fields) = fields(row)?;
        let cell = |column: &String| {
            let value = fields.iter().find(|(name, _)| name == column);
            value.map_or_else(String::new, |(_, value)| cell(value))
        };
        let cells: Vec<_> = columns.iter().map(cell).collect();
        lines.extend_from_slice(&csv_line(cells.iter().map(String::as_str))?);
    }
    Ok(lines.into())
}

/// One line, as RFC 4180 has it.
fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Bytes> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells).map_err(encode)?;
    Ok(writer.into_inner().map_err(|error| encode(error.into_error()))?.into())
}

/// A value as a cell has it: lists and objects as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

/// A text that no spreadsheet takes for a formula, whoever sent it.
fn harmless(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// The fields of a row, in their order.
struct Fields(Vec<(String, Value)>);

fn fields(row: &impl Serialize) -> Result<Fields> {
    let json = serde_json::to_vec(row).map_err(encode)?;
    serde_json::from_slice(&json).map_err(encode)
}

fn encode(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Encode(Box::new(error))
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Serialize)]
    struct Row {
        zone: String,
        at: u64,
        alias: Option<String>,
        tags: Vec<&'static str>,
    }

    fn row(zone: &str) -> Row {
        Row { zone: zone.to_owned(), at: 7, alias: None, tags: vec!["a", "b"] }
    }

    #[test]
    fn columns_are_in_the_order_of_the_fields_and_cells_are_quoted() {
        let columns = columns::<Row>().unwrap();
        assert_eq!(columns, ["zone", "at", "alias", "tags"]);
        let lines = csv(&[row("a, \"b\"\nc"), row("")], &columns).unwrap();
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        assert_eq!(
            lines,
            "\"a, \"\"b\"\"\nc\",7,,\"[\"\"a\"\",\"\"b\"\"]\"\r\n,7,,\"[\"\"a\"\",\"\"b\"\"]\"\r\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(cell(&Value::from(text)), format!("'{text}"), "{text:?}");
        }
        for text in ["a=1", "'=1", "1-1", " =1", ""] {
            assert_eq!(cell(&Value::from(text)), text, "{text:?}");
        }
        assert_eq!(cell(&Value::from(-1)), "-1", "a number is none");
    }
}

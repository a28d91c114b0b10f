//! From columns to the domain's types.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use latchkey_core::provider::Dialect;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Reads typed columns; a value that does not fit is an error that names the column.
pub trait Columns {
    /// A UUID stored as text.
    ///
    /// # Errors
    /// The column is missing or holds something else.
    fn uuid(&self, column: &str) -> sqlx::Result<Uuid>;
    /// A UUID stored as text, or null.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn optional_uuid(&self, column: &str) -> sqlx::Result<Option<Uuid>>;
    /// Unix milliseconds.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn time(&self, column: &str) -> sqlx::Result<Timestamp>;
    /// Unix milliseconds, or null.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn optional_time(&self, column: &str) -> sqlx::Result<Option<Timestamp>>;
    /// Text that reads as `T`.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> sqlx::Result<T>;
    /// A number that is not negative.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn count(&self, column: &str) -> sqlx::Result<u64>;
    /// A number that is not negative, or null.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn optional_count(&self, column: &str) -> sqlx::Result<Option<u64>>;
    /// A flag stored as 0 or 1.
    ///
    /// # Errors
    /// As [`Columns::uuid`].
    fn flag(&self, column: &str) -> sqlx::Result<bool>;
}

/// How a provider or a model wants to be asked.
///
/// # Errors
/// The columns are missing or hold something else.
pub fn dialect(row: &AnyRow) -> sqlx::Result<Dialect> {
    let output_limit: Option<&str> = row.try_get("output_limit")?;
    let output_limit =
        output_limit.map(str::parse).transpose().map_err(|error| unfit("output_limit", error))?;
    Ok(Dialect { output_limit, stream_options: row.optional_count("stream_options")?.map(|flag| flag != 0) })
}

impl Columns for AnyRow {
    fn uuid(&self, column: &str) -> sqlx::Result<Uuid> {
        self.parsed(column)
    }

    fn optional_uuid(&self, column: &str) -> sqlx::Result<Option<Uuid>> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(|text| text.parse().map_err(|error| unfit(column, error))).transpose()
    }

    fn time(&self, column: &str) -> sqlx::Result<Timestamp> {
        let ms: i64 = self.try_get(column)?;
        Timestamp::from_millisecond(ms).map_err(|error| unfit(column, error))
    }

    fn optional_time(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        let ms: Option<i64> = self.try_get(column)?;
        ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|error| unfit(column, error))).transpose()
    }

    fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> sqlx::Result<T> {
        let text: &str = self.try_get(column)?;
        text.parse().map_err(|error| unfit(column, error))
    }

    fn count(&self, column: &str) -> sqlx::Result<u64> {
        let number: i64 = self.try_get(column)?;
        u64::try_from(number).map_err(|error| unfit(column, error))
    }

    fn optional_count(&self, column: &str) -> sqlx::Result<Option<u64>> {
        let number: Option<i64> = self.try_get(column)?;
        number.map(|number| u64::try_from(number).map_err(|error| unfit(column, error))).transpose()
    }

    fn flag(&self, column: &str) -> sqlx::Result<bool> {
        self.try_get::<i64, _>(column).map(|flag| flag != 0)
    }
}

/// The error for a value that does not fit its column.
pub fn unfit(column: &str, error: impl Display) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.to_string().into() }
}

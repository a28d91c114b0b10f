//! Conditions that a query has only where they are asked for, so that each query finds its index.

use std::fmt::Write as _;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// What rows must be, and the values that this names.
#[derive(Debug, Default)]
pub struct Conditions {
    sql: String,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Number(i64),
}

impl Conditions {
    /// `condition` is SQL up to the value, as in `app_id =`; none asks for nothing.
    #[must_use]
    pub fn text(self, condition: &'static str, value: Option<impl ToString>) -> Self {
        self.with(condition, value.map(|value| Value::Text(value.to_string())))
    }

    /// The same with a number.
    #[must_use]
    pub fn number(self, condition: &'static str, value: Option<i64>) -> Self {
        self.with(condition, value.map(Value::Number))
    }

    /// The text in `column` begins with this; none asks for nothing.
    #[must_use]
    pub fn prefix(mut self, column: &'static str, prefix: Option<impl ToString>) -> Self {
        if let Some(prefix) = prefix {
            self.values.push(Value::Text(prefix.to_string()));
            let value = self.values.len();
            let _ = write!(self.sql, " AND SUBSTR({column}, 1, LENGTH(${value})) = ${value}");
        }
        self
    }

    fn with(mut self, condition: &'static str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.values.push(value);
            // Writing into a string does not fail.
            let _ = write!(self.sql, " AND {condition} ${}", self.values.len());
        }
        self
    }

    /// The query: in `shape`, `{where}` and `{limit}` are replaced, and nothing that a stranger sent
    /// becomes SQL.
    pub fn query(&self, shape: &str, limit: i64) -> Query<'static, Any, AnyArguments> {
        let sql = shape
            .replace("{where}", &format!("WHERE TRUE{}", self.sql))
            .replace("{limit}", &format!("LIMIT {limit}"));
        self.values.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Number(number) => query.bind(*number),
        })
    }
}

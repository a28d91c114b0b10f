//! Conditions that a query has only where they are asked for, so that each query finds its index.

use std::fmt::Write as _;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Arguments as _, AssertSqlSafe, FromRow};
use uuid::Uuid;

use super::QueryOf;

/// Whose requests may be seen. What is read of requests names one: there is no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    App(Uuid),
    /// A user's own, in these apps.
    Own {
        user: Uuid,
        /// The apps that they may see.
        apps: Vec<Uuid>,
    },
}

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
    /// What rows of requests must be to be seen, by their `user_id` and `app_id`.
    #[must_use]
    pub fn within(scope: &Scope) -> Self {
        let any = Self::default();
        match scope {
            Scope::Everything => any,
            Scope::App(app) => any.text("app_id =", Some(app)),
            Scope::Own { user, apps } => match apps.as_slice() {
                // One app has a partial index, which a query must name to be given it.
                [app] => any.text("user_id <> '' AND user_id =", Some(user)).text("app_id =", Some(app)),
                apps => any.text("user_id =", Some(user)).among("app_id", apps),
            },
        }
    }

    /// The column is one of these; none are none.
    fn among(mut self, column: &'static str, values: &[Uuid]) -> Self {
        let first = self.values.len() + 1;
        self.values.extend(values.iter().map(|value| Value::Text(value.to_string())));
        let names: Vec<_> = (first..=self.values.len()).map(|number| format!("${number}")).collect();
        self.sql.push_str(&match names.as_slice() {
            [] => " AND FALSE".to_owned(),
            names => format!(" AND {column} IN ({})", names.join(", ")),
        });
        self
    }

    /// The text in `column` is one of those that stand here with commas between; none asks for nothing.
    #[must_use]
    pub fn any_of(mut self, column: &'static str, words: Option<&str>) -> Self {
        let Some(words) = words else { return self };
        let first = self.values.len() + 1;
        self.values.extend(words.split(',').map(|word| Value::Text(word.trim().to_owned())));
        let names: Vec<_> = (first..=self.values.len()).map(|number| format!("${number}")).collect();
        // Writing into a string does not fail.
        let _ = write!(self.sql, " AND {column} IN ({})", names.join(", "));
        self
    }

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
        sqlx::query_with(self.sql(shape, limit), self.arguments())
    }

    /// The same, whose rows are read as `T`.
    pub(super) fn query_as<T: for<'r> FromRow<'r, AnyRow>>(&self, shape: &str, limit: i64) -> QueryOf<T> {
        sqlx::query_as_with(self.sql(shape, limit), self.arguments())
    }

    fn sql(&self, shape: &str, limit: i64) -> AssertSqlSafe<String> {
        let shape = shape.replace("{where}", &format!("WHERE TRUE{}", self.sql));
        AssertSqlSafe(shape.replace("{limit}", &format!("LIMIT {limit}")))
    }

    fn arguments(&self) -> AnyArguments {
        let mut arguments = AnyArguments::default();
        for value in &self.values {
            let added = match value {
                Value::Text(text) => arguments.add(text.clone()),
                Value::Number(number) => arguments.add(*number),
            };
            added.expect("texts and numbers are always encoded");
        }
        arguments
    }
}

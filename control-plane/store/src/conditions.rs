//! Conditions that a query has only where they are asked for, so that each query finds its index.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
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

/// The time that a list is of.
#[derive(Clone, Copy, Debug)]
pub struct ListedTime {
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this one.
    pub to: Option<Timestamp>,
    /// The present, up to which a time without an end goes.
    pub now: Timestamp,
}

/// Up to this long, the rows of a time are counted among the few.
const SHORT: SignedDuration = SignedDuration::from_hours(48);

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

    /// `condition` is SQL up to the value, as in `app_id =`, or around each `{}`; none asks for nothing.
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

    /// Of a list by id, newest first: only rows of this time, whose ids grow about as their times do. A short time is
    /// found by the index of times, and then by ids alone; in a longer one the newest are soon found without it, while
    /// with it each row would be read and sorted.
    #[must_use]
    pub fn listed(mut self, table: &'static str, time: ListedTime) -> Self {
        let ListedTime { from, to, now } = time;
        let (first, last) = (from.map(Timestamp::as_millisecond), to.map(Timestamp::as_millisecond));
        if let Some((from, first)) = from.zip(first)
            && to.unwrap_or(now).duration_since(from) <= SHORT
        {
            self.values.extend([Value::Number(first), Value::Number(last.unwrap_or(i64::MAX))]);
            let (to, from) = (self.values.len(), self.values.len() - 1);
            let found = format!("(SELECT {{}}(id + 0) FROM {table} WHERE at >= ${from} AND at < ${to})");
            let (least, most) = (found.replace("{}", "MIN"), found.replace("{}", "MAX"));
            let _ = write!(self.sql, " AND id >= COALESCE({least}, 0) AND id <= COALESCE({most}, -1)");
        }
        self.number("at + 0 >=", first).number("at + 0 <", last)
    }

    /// A value that the query names elsewhere, and its name.
    pub(super) fn bind(&mut self, value: impl ToString) -> String {
        self.values.push(Value::Text(value.to_string()));
        format!("${}", self.values.len())
    }

    fn with(mut self, condition: &'static str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.values.push(value);
            let number = format!("${}", self.values.len());
            // Writing into a string does not fail.
            let _ = match condition.contains("{}") {
                true => write!(self.sql, " AND {}", condition.replace("{}", &number)),
                false => write!(self.sql, " AND {condition} {number}"),
            };
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

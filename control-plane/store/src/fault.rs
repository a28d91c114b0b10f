//! What of a database's errors is a fault of the database, and passes.

use std::fmt;

use sqlx::error::DatabaseError;

/// Whether what was written has a name or an id that is taken.
#[must_use]
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(DatabaseError::is_unique_violation)
}

/// Whether what was removed is named by something, or what was named does not exist.
#[must_use]
pub fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation)
}

/// Why the database does not do its work for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing more can be written.
    DiskFull,
    /// It may be read alone.
    ReadOnly,
    /// Its disk or its files fail.
    InputOutput,
    /// Others hold what is needed.
    Busy,
    /// It does not answer, or has lost its connection.
    Away,
}

impl Fault {
    /// Of an error, if it is one.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed => Some(Self::Away),
            sqlx::Error::Database(error) => Self::of_code(error.as_ref()),
            _ => None,
        }
    }

    fn of_code(error: &dyn DatabaseError) -> Option<Self> {
        let code = error.code()?;
        match code.parse::<u32>() {
            // SQLite's, of which the lowest byte is the primary one.
            Ok(code) if code_of_sqlite(error) => sqlite(code & 0xff),
            _ => postgres(&code),
        }
    }
}

/// PostgreSQL's codes have five characters; SQLite's are smaller numbers.
fn code_of_sqlite(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.len() < 5)
}

fn sqlite(primary: u32) -> Option<Fault> {
    match primary {
        // SQLITE_BUSY and SQLITE_LOCKED.
        5 | 6 => Some(Fault::Busy),
        // SQLITE_READONLY.
        8 => Some(Fault::ReadOnly),
        // SQLITE_NOMEM, SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_PROTOCOL.
        7 | 10 | 14 | 15 => Some(Fault::InputOutput),
        // SQLITE_FULL.
        13 => Some(Fault::DiskFull),
        _ => None,
    }
}

/// By class: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres(code: &str) -> Option<Fault> {
    match code {
        "53100" => Some(Fault::DiskFull),
        "25006" => Some(Fault::ReadOnly),
        "40001" | "40P01" | "55P03" | "57014" => Some(Fault::Busy),
        _ => match code.get(..2)? {
            "58" => Some(Fault::InputOutput),
            // Connections, resources, an operator's stop.
            "08" | "53" | "57" => Some(Fault::Away),
            _ => None,
        },
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the database's disk is full",
            Self::ReadOnly => "the database is read-only",
            Self::InputOutput => "the database cannot read or write its files",
            Self::Busy => "the database is busy",
            Self::Away => "the database is away",
        })
    }
}

use latchkey_core::provider::ProviderKind;
use sqlx::any::AnyRow;

use super::{AnyQuery, Protocol, Statements, statements};
use crate::row::{Columns as _, unfit};
use crate::seal::Purpose;

/// How an external detector is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectorProtocol {
    /// How long a request waits for its answer.
    pub timeout_ms: u32,
    /// How much text of one request it is sent.
    pub max_text_bytes: u32,
}

impl Protocol for DetectorProtocol {
    const NOUN: &'static str = "detector";
    const CLUSTER_PREFIX: &'static str = "latchkey-detector";
    const STATEMENTS: Statements = statements!(
        "detectors",
        "url",
        "timeout_ms, max_text_bytes",
        "$8, $9",
        "timeout_ms = $8, max_text_bytes = $9"
    );

    fn purpose(name: &str) -> Purpose<'_> {
        Purpose::DetectorCredential(name)
    }

    /// A bearer token, as OpenAI's is.
    fn credential_kind(&self) -> ProviderKind {
        ProviderKind::OpenaiCompatible
    }

    fn read(row: &AnyRow) -> sqlx::Result<Self> {
        let number = |column| row.count(column)?.try_into().map_err(|error| unfit(column, error));
        Ok(Self { timeout_ms: number("timeout_ms")?, max_text_bytes: number("max_text_bytes")? })
    }

    fn bind(&self, query: AnyQuery) -> AnyQuery {
        query.bind(i64::from(self.timeout_ms)).bind(i64::from(self.max_text_bytes))
    }
}

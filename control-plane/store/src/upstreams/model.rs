use latchkey_core::provider::{Dialect, OutputLimit, ProviderKind};
use sqlx::any::AnyRow;

use super::{AnyQuery, Protocol, Statements, statements};
use crate::row::{Columns as _, dialect};
use crate::seal::Purpose;

/// How a provider of models is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelProtocol {
    pub kind: ProviderKind,
    pub dialect: Dialect,
    /// For how long an answer may be silent; none for the gateway's own limit.
    pub idle_timeout_seconds: Option<u32>,
    /// Which of the clusters with fixed names reaches it for routing groups; none until it is a target of one.
    pub group_slot: Option<u8>,
}

impl Protocol for ModelProtocol {
    const NOUN: &'static str = "provider";
    const CLUSTER_PREFIX: &'static str = "latchkey";
    const STATEMENTS: Statements = statements!(
        "providers",
        "base_url",
        "kind, output_limit, stream_options, idle_timeout_seconds, group_slot",
        "$8, $9, $10, $11, $12",
        "kind = $8, output_limit = $9, stream_options = $10, idle_timeout_seconds = $11, group_slot = $12"
    );

    fn purpose(name: &str) -> Purpose<'_> {
        Purpose::Credential(name)
    }

    fn credential_kind(&self) -> ProviderKind {
        self.kind
    }

    fn group_cluster(&self) -> Option<String> {
        self.group_slot.map(|slot| format!("latchkey/group/{slot:02}"))
    }

    fn read(row: &AnyRow) -> sqlx::Result<Self> {
        let idle_timeout_seconds = row.optional_count("idle_timeout_seconds")?;
        let group_slot = row.optional_count("group_slot")?;
        Ok(Self {
            kind: row.parsed("kind")?,
            dialect: dialect(row)?,
            idle_timeout_seconds: idle_timeout_seconds.and_then(|seconds| seconds.try_into().ok()),
            group_slot: group_slot.and_then(|slot| slot.try_into().ok()),
        })
    }

    fn bind(&self, query: AnyQuery) -> AnyQuery {
        query
            .bind(self.kind.as_str())
            .bind(self.dialect.output_limit.map(OutputLimit::as_str))
            .bind(self.dialect.stream_options.map(i64::from))
            .bind(self.idle_timeout_seconds.map(i64::from))
            .bind(self.group_slot.map(i64::from))
    }
}

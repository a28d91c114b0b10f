use latchkey_core::provider::{DialectEdit, ProviderKind, check_idle_timeout};
use latchkey_core::routing_group::RoutingSettings;
use latchkey_core::selection::Selection;
use latchkey_core::settings::AppSettings;
use latchkey_store::Tx;
use latchkey_store::upstreams::{ModelProtocol, Provider};
use latchkey_world::World;
use serde_json::{Value, json};

use super::{Administered, AuditNames};
use crate::action::{Refusal, routing_groups};

/// What to change of how a provider is called; none leaves it.
#[derive(Debug, Default)]
pub struct EditModelProtocol {
    pub kind: Option<ProviderKind>,
    pub dialect: DialectEdit,
    /// The inner none is for the gateway's own limit.
    pub idle_timeout_seconds: Option<Option<u32>>,
}

impl Administered for ModelProtocol {
    const URL_FIELD: &'static str = "base_url";
    const AUDIT: AuditNames = AuditNames {
        kind: "provider",
        created: "provider.created",
        updated: "provider.updated",
        deleted: "provider.deleted",
    };
    const NAMED_BY: &'static str = "these apps allow it by name";

    type Draft = Self;
    type Edit = EditModelProtocol;

    fn new(draft: Self, _: &World) -> Result<Self, Refusal> {
        checked(draft)
    }

    fn edit(&mut self, edit: EditModelProtocol) -> Result<(), Refusal> {
        let EditModelProtocol { kind, dialect, idle_timeout_seconds } = edit;
        let edited = Self {
            kind: kind.unwrap_or(self.kind),
            dialect: dialect.of(self.dialect),
            idle_timeout_seconds: idle_timeout_seconds.unwrap_or(self.idle_timeout_seconds),
            group_slot: self.group_slot,
        };
        *self = checked(edited)?;
        Ok(())
    }

    fn created(&self) -> Value {
        json!({ "kind": self.kind })
    }

    fn edited(&self) -> Value {
        json!({
            "kind": self.kind,
            "output_limit": self.dialect.output_limit,
            "stream_options": self.dialect.stream_options,
            "idle_timeout_seconds": self.idle_timeout_seconds,
        })
    }

    async fn refuse_needed(tx: &mut Tx, name: &str) -> Result<(), Refusal> {
        let is_target = |settings: &RoutingSettings| settings.has_provider(name);
        routing_groups::refuse_targets(tx, "a model of it", is_target).await?;
        match tx.count_models_of(name).await? {
            0 => Ok(()),
            models => {
                let detail = format!("it has {models} models: delete them first");
                Err(Refusal::conflict("in_use", detail))
            }
        }
    }

    async fn refuse_edit(tx: &mut Tx, before: &Provider, after: &Provider) -> Result<(), Refusal> {
        if before.protocol.kind == after.protocol.kind {
            return Ok(());
        }
        routing_groups::refuse_mixed(tx, after.name.as_str()).await
    }

    fn is_named_by(settings: &AppSettings, name: &str) -> bool {
        let Selection::Only(names) = &settings.allowed_providers else { return false };
        names.iter().any(|allowed| allowed == name)
    }
}

fn checked(protocol: ModelProtocol) -> Result<ModelProtocol, Refusal> {
    let checked = protocol.idle_timeout_seconds.map_or(Ok(()), check_idle_timeout);
    checked.map_err(|reason| Refusal::field("idle_timeout_seconds", reason))?;
    Ok(protocol)
}

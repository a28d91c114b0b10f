use latchkey_core::detector::{check_text_bytes, check_timeout};
use latchkey_core::guardrails::GuardrailCategory;
use latchkey_core::settings::AppSettings;
use latchkey_store::Tx;
use latchkey_store::upstreams::DetectorProtocol;
use latchkey_world::World;
use serde_json::{Value, json};

use super::{Administered, AuditNames};
use crate::action::Refusal;

/// What to change of how a detector is asked; none leaves it.
#[derive(Debug, Default)]
pub struct EditDetectorProtocol {
    pub timeout_ms: Option<u32>,
    pub max_text_bytes: Option<u32>,
}

impl Administered for DetectorProtocol {
    const URL_FIELD: &'static str = "url";
    const AUDIT: AuditNames = AuditNames {
        kind: "detector",
        created: "detector.created",
        updated: "detector.updated",
        deleted: "detector.deleted",
    };
    const NAMED_BY: &'static str = "these apps use it in their guardrails";

    type Draft = Self;
    type Edit = EditDetectorProtocol;

    fn new(draft: Self, _: &World) -> Result<Self, Refusal> {
        checked(draft)
    }

    fn edit(&mut self, edit: EditDetectorProtocol) -> Result<(), Refusal> {
        let EditDetectorProtocol { timeout_ms, max_text_bytes } = edit;
        *self = checked(Self {
            timeout_ms: timeout_ms.unwrap_or(self.timeout_ms),
            max_text_bytes: max_text_bytes.unwrap_or(self.max_text_bytes),
        })?;
        Ok(())
    }

    fn created(&self) -> Value {
        json!({})
    }

    fn edited(&self) -> Value {
        json!({ "timeout_ms": self.timeout_ms, "max_text_bytes": self.max_text_bytes })
    }

    async fn refuse_needed(_: &mut Tx, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_named_by(settings: &AppSettings, name: &str) -> bool {
        let names = |category, detector: &Option<String>| {
            category == GuardrailCategory::EXTERNAL && detector.as_deref() == Some(name)
        };
        settings.guardrails.rules.iter().any(|rule| names(rule.category, &rule.detector))
    }
}

fn checked(protocol: DetectorProtocol) -> Result<DetectorProtocol, Refusal> {
    check_timeout(protocol.timeout_ms).map_err(|reason| Refusal::field("timeout_ms", reason))?;
    check_text_bytes(protocol.max_text_bytes).map_err(|reason| Refusal::field("max_text_bytes", reason))?;
    Ok(protocol)
}

//! What a change request asks for, tried beside the app's own guardrails: nothing that it finds changes anything.

use latchkey_proto::discovery as wire;

use super::policy::Guardrails;
use crate::snapshot::{AppPolicy, InvalidResource, UnixMs, id, moment};

/// Guardrails that a change request asks for, for as long as they are tried.
#[derive(Clone, Debug)]
pub struct GuardrailTrial {
    /// The change request's id, a UUID.
    pub(super) change_request: [u8; 16],
    guardrails: Guardrails,
    until: UnixMs,
}

/// Whose guardrails look at texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleSource {
    /// Those in force.
    App,
    /// Those of a change request, which only say what they would do.
    Trial,
}

impl GuardrailTrial {
    /// Whether it has not ended.
    #[must_use]
    pub fn runs(&self, now: UnixMs) -> bool {
        now < self.until
    }
}

impl RuleSource {
    pub(super) fn guardrails(self, app: &AppPolicy) -> Option<&Guardrails> {
        match self {
            Self::App => app.guardrails.as_ref(),
            Self::Trial => app.guardrail_trial.as_ref().map(|trial| &trial.guardrails),
        }
    }
}

impl TryFrom<wire::GuardrailTrial> for GuardrailTrial {
    type Error = InvalidResource;

    fn try_from(trial: wire::GuardrailTrial) -> Result<Self, InvalidResource> {
        let wire::GuardrailTrial { change_request, guardrails, until_ms } = trial;
        let guardrails = guardrails.ok_or(InvalidResource::Unset("guardrail_trial.guardrails"))?;
        let until = moment(until_ms, "guardrail_trial.until_ms")?;
        Ok(Self {
            change_request: id(&change_request, "guardrail_trial.change_request")?.into_bytes(),
            guardrails: guardrails.try_into()?,
            until: until.ok_or(InvalidResource::Unset("guardrail_trial.until_ms"))?,
        })
    }
}

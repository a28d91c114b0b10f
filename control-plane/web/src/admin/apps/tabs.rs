//! What stands above every page of an app.

use latchkey_api::apps::AppView;
use latchkey_api::problem::Problem;
use latchkey_core::invalid::FieldError;
use latchkey_core::selection::Selection;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Standing;
use uuid::Uuid;

use crate::form::FormInput;
use crate::{format, limits};

/// An app's name, its status and the ways to its pages.
#[derive(Clone, Debug)]
pub struct Tabs {
    pub id: Uuid,
    pub name: String,
    pub status: Standing,
    /// Whether only its users' named keys open it.
    pub named: bool,
    pub at: &'static str,
    /// What restricts it.
    pub restrictions: String,
}

impl Tabs {
    /// Those of an app, at one of them.
    #[must_use]
    pub fn of(app: &AppView, at: &'static str) -> Self {
        let AppView { id, name, status, mode, .. } = app;
        let (name, named) = (name.to_string(), *mode == CredentialMode::Named);
        Self { id: *id, name, status: *status, named, at, restrictions: restrictions(app) }
    }

    /// The page of one of them.
    #[must_use]
    pub fn path(&self, tab: &str) -> String {
        format!("/admin/apps/{}/{tab}", self.id)
    }

    /// What a list within the tabs was asked, of this app alone.
    ///
    /// # Errors
    /// Another app was asked for.
    pub fn within(&self, asked: &FormInput) -> Result<FormInput, Problem> {
        let id = self.id.to_string();
        match asked.text("app_id") {
            text if text.is_empty() || text == id => Ok(asked.clone().with("app_id", id)),
            _ => Err(Problem::invalid(FieldError::new("app_id", "must be this page\u{2019}s app").into())),
        }
    }

    /// The tabs: where they lead, what they are called, and which one this is.
    #[must_use]
    pub fn links(&self) -> Vec<(String, &'static str, bool)> {
        let id = self.id;
        [
            ("settings", "Settings", format!("/admin/apps/{id}")),
            ("self-service", "Self-service", format!("/admin/apps/{id}/self-service")),
            ("keys", "Named keys", format!("/admin/apps/{id}/keys")),
            ("prompts", "Prompts", format!("/admin/apps/{id}/prompts")),
            ("audit", "Audit", format!("/admin/apps/{id}/audit")),
            ("logs", "Logs", format!("/admin/apps/{id}/logs")),
            ("usage", "Usage", format!("/admin/apps/{id}/usage")),
        ]
        .map(|(tab, name, to)| (to, name, tab == self.at))
        .into()
    }
}

/// The most names of a list that are said.
const FEW: usize = 3;

/// What restricts an app, in a line: who may call it, what, how much, and what is looked for in it.
fn restrictions(app: &AppView) -> String {
    let who = match app.mode {
        CredentialMode::Shared if app.identity.enforce => "Shared key, identified users only",
        CredentialMode::Shared => "Shared key",
        CredentialMode::Named => "Named keys only",
    };
    let addresses = app.ip_allow_list.as_ref();
    let addresses = addresses.map(|list| format!("from {}", format::plural(list.len(), "address range")));
    let limits = limits::lines(&app.limits).into_iter().map(|line| format!("{}: {}", line.name, line.limit));
    let limits: Vec<_> = limits.collect();
    let rules = app.guardrails.rules.len();
    [
        Some(who.to_owned()),
        addresses,
        Some(selected("models", &app.allowed_models)),
        Some(selected("providers", &app.allowed_providers))
            .filter(|_| app.allowed_providers != Selection::All),
        Some(selected("MCP", &app.mcp_scope)).filter(|_| app.mcp_scope != Selection::None),
        Some(if limits.is_empty() { "no limits".to_owned() } else { limits.join(", ") }),
        Some(if rules == 0 { "no guardrails".to_owned() } else { format::plural(rules, "guardrail rule") }),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(" \u{b7} ")
}

/// What a selection holds, in words.
fn selected(what: &str, selection: &Selection) -> String {
    match selection {
        Selection::All => format!("all {what}"),
        Selection::None => format!("no {what}"),
        Selection::Only(names) => {
            let shown = names.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
            match names.len().saturating_sub(FEW) {
                0 => format!("{what}: {shown}"),
                more => format!("{what}: {shown}, and {more} more"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_names_a_few() {
        let only = |names: &[&str]| Selection::Only(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(selected("models", &Selection::All), "all models");
        assert_eq!(selected("models", &Selection::None), "no models");
        assert_eq!(selected("models", &only(&["a", "b", "c"])), "models: a, b, c");
        assert_eq!(selected("models", &only(&["a", "b", "c", "d", "e"])), "models: a, b, c, and 2 more");
    }
}

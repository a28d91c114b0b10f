//! What stands above every page of an app.

use latchkey_api::apps::AppView;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Standing;
use uuid::Uuid;

/// An app's name, its status and the ways to its pages.
#[derive(Clone, Debug)]
pub struct Tabs {
    pub id: Uuid,
    pub name: String,
    pub status: Standing,
    /// Whether only its users' named keys open it.
    pub named: bool,
    pub at: &'static str,
}

impl Tabs {
    /// Those of an app, at one of them.
    #[must_use]
    pub fn of(app: &AppView, at: &'static str) -> Self {
        let AppView { id, name, status, mode, .. } = app;
        Self { id: *id, name: name.to_string(), status: *status, named: *mode == CredentialMode::Named, at }
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
            ("logs", "Logs", format!("/admin/logs?app_id={id}")),
            ("usage", "Usage", format!("/admin/usage?app_id={id}")),
        ]
        .map(|(tab, name, to)| (to, name, tab == self.at))
        .into()
    }
}

//! Whose requests a user may see.

use latchkey_core::access::{Capability, Member};
use latchkey_service::action::Refusal;
use latchkey_store::apps::App;
use uuid::Uuid;

use super::Api;
use super::auth::Person;
use super::problem::Problem;

pub use latchkey_store::conditions::Scope;

impl Api {
    /// Their own, in the apps that they may see; everyone's of `app`, where they may see those. An app
    /// that they may not see has nothing for them, as one that there is not.
    pub async fn scope(&self, person: &Person, app: Option<Uuid>) -> Result<Scope, Problem> {
        let member = self.member(person).await?;
        if let Some(id) = app {
            let app = self.store.app(id).await?;
            let none = Scope::Own { user: member.user, apps: Vec::new() };
            return Ok(app.and_then(|app| of_app(&app, &member)).unwrap_or(none));
        }
        let mut apps = self.store.apps_used_by(member.user).await?;
        apps.retain(|app| grants(app, Capability::Viewer, &member));
        Ok(Scope::Own { user: member.user, apps: apps.iter().map(|app| app.id).collect() })
    }

    /// Those of one app: everyone's or their own.
    ///
    /// # Errors
    /// They may not see the app, or there is none.
    pub async fn scope_of_app(&self, person: &Person, id: Uuid) -> Result<Scope, Problem> {
        let member = self.member(person).await?;
        let app = self.store.app(id).await?;
        let scope = app.and_then(|app| of_app(&app, &member));
        Ok(scope.ok_or(Refusal::NotFound("app"))?)
    }

    async fn member(&self, person: &Person) -> Result<Member, Problem> {
        Ok(self.store.member(person.user.id).await?.ok_or(Refusal::NotFound("user"))?)
    }
}

/// None where they may not see the app.
fn of_app(app: &App, member: &Member) -> Option<Scope> {
    if grants(app, Capability::AllLogs, member) {
        return Some(Scope::App(app.id));
    }
    let own = Scope::Own { user: member.user, apps: vec![app.id] };
    grants(app, Capability::Viewer, member).then_some(own)
}

fn grants(app: &App, capability: Capability, member: &Member) -> bool {
    app.settings.self_service.access.grants(capability, member)
}

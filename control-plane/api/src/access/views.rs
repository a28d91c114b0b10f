//! How decisions on access look from outside.

use latchkey_core::access::{Capability, Member};
use latchkey_store::apps::App;
use latchkey_store::subjects::SubjectNames;
use latchkey_store::users::User;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A user.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PersonRef {
    /// Opaque.
    pub id: Uuid,
    /// Their address; empty where they are not known any more.
    pub email: String,
    /// What others see.
    pub name: String,
}

/// A smart group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupRef {
    /// Opaque.
    pub id: Uuid,
    /// What it is called; empty where it was deleted.
    pub name: String,
}

/// Whether someone has a capability, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
pub struct AccessDecision {
    /// Which.
    pub capability: Capability,
    /// Whether they have it.
    pub granted: bool,
    /// Why: `everyone`, `allowed` or `implied` (by settings request); or `deactivated`, `excepted`,
    /// `disabled`, `not_listed` or `not_a_viewer`.
    pub reason: &'static str,
    /// The smart group that decides; null where none does.
    pub group: Option<GroupRef>,
    /// The same for people: "alice may view Support Bot: member of engineering, which viewer allows".
    pub sentence: String,
}

/// What a user may do with an app, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccessExplanation {
    /// Who.
    pub user: PersonRef,
    /// What was decided.
    pub decisions: Vec<AccessDecision>,
}

/// Someone who may do something with an app.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonAccess {
    /// Who.
    pub user: PersonRef,
    /// All that they have.
    pub capabilities: Vec<Capability>,
    /// Why they have the one that was asked for.
    pub decision: AccessDecision,
}

/// Whose access to explain.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccessQuery {
    /// The user's id.
    pub user_id: Uuid,
    /// Only this capability.
    pub capability: Option<Capability>,
}

/// Which people to list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PeopleQuery {
    /// Who has this capability: `viewer` by default.
    pub capability: Option<Capability>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only people whose name or address holds this, in any case.
    pub search: Option<String>,
}

impl PersonRef {
    /// The user `id`, as `names` has them.
    #[must_use]
    pub fn new(id: Uuid, names: &SubjectNames) -> Self {
        let (email, name) = names.users.get(&id).cloned().unwrap_or_default();
        Self { id, email, name }
    }
}

impl GroupRef {
    /// The group `id`, as `names` has it.
    #[must_use]
    pub fn new(id: Uuid, names: &SubjectNames) -> Self {
        Self { id, name: names.groups.get(&id).cloned().unwrap_or_default() }
    }
}

impl From<User> for PersonRef {
    fn from(user: User) -> Self {
        Self { id: user.id, email: user.email.into(), name: user.name.into() }
    }
}

impl AccessDecision {
    /// The decision on `capability` of `app` for `user`, who is `member`.
    #[must_use]
    pub fn new(
        capability: Capability,
        app: &App,
        user: &User,
        member: &Member,
        names: &SubjectNames,
    ) -> Self {
        let reason = app.settings.self_service.access.explain(capability, member);
        let group = |id| GroupRef::new(id, names);
        let (person, app) = (user.name.as_str(), app.name.as_str());
        Self {
            capability,
            granted: reason.is_granted(),
            reason: reason.as_str(),
            group: reason.group().map(group),
            sentence: reason.sentence(person, capability, app, |id| group(id).name),
        }
    }
}

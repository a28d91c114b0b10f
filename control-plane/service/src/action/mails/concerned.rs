//! Whom an event concerns: asked when email about it is queued, and again when it is sent.

use latchkey_core::access::{AccessMode, Capability, Member, SelfService};
use latchkey_core::mail::{Concern, concern, is_reachable};
use latchkey_core::role::Permission;
use latchkey_store::Tx;
use latchkey_store::events::EventMessage;
use latchkey_store::suspension::AccessScope;
use latchkey_store::users::User;
use serde_json::Value;
use uuid::Uuid;

/// The most people that are taken to be in charge of an app. Where more may ask for changes of it, admins are told.
pub const MOST_IN_CHARGE: usize = 50;
/// The most admins that are told of an event.
const MOST_ADMINS: usize = 200;

/// An event as email needs it: its kind, its app, and the data of its message.
#[derive(Clone, Debug)]
pub struct MailEvent {
    pub id: i64,
    pub kind: String,
    app: Option<Uuid>,
    data: Value,
}

impl MailEvent {
    #[must_use]
    pub fn of(event: &EventMessage) -> Self {
        let mut message: Value = serde_json::from_str(&event.body).unwrap_or_default();
        Self {
            id: event.id,
            kind: event.kind.clone(),
            app: event.app_id.parse().ok(),
            data: message["data"].take(),
        }
    }

    fn concern(&self) -> Option<Concern> {
        concern(&self.kind, &self.data)
    }

    /// Events with the same subject concern the same people.
    #[must_use]
    pub fn subject(&self) -> (Option<Concern>, Option<Uuid>) {
        (self.concern(), self.app)
    }
}

/// The active people whom an event concerns, who may know of it, and whom mail reaches.
///
/// # Errors
/// The database is away.
pub async fn concerned(tx: &mut Tx, event: &MailEvent) -> latchkey_store::Result<Vec<User>> {
    let people = match event.concern() {
        None => Vec::new(),
        Some(Concern::Admins) => admins(tx).await?,
        Some(Concern::Deciders { requester }) => {
            let mut admins = admins(tx).await?;
            admins.retain(|admin| Some(admin.id) != requester);
            admins
        }
        Some(Concern::PeopleInCharge) => in_charge(tx, event.app).await?,
        Some(Concern::KeyOwner(key)) => match tx.key_user(key).await? {
            Some(Some(owner)) => viewer(tx, event.app, owner).await?.into_iter().collect(),
            Some(None) => in_charge(tx, event.app).await?,
            None => Vec::new(),
        },
        Some(Concern::Requester(user)) => viewer(tx, event.app, user).await?.into_iter().collect(),
    };
    Ok(people.into_iter().filter(is_told).collect())
}

/// Whether somebody is told of anything by email.
pub(super) fn is_told(user: &User) -> bool {
    user.is_active() && is_reachable(user.email.as_str())
}

async fn admins(tx: &mut Tx) -> latchkey_store::Result<Vec<User>> {
    tx.admins(MOST_ADMINS as i64).await
}

/// This user, if they see the app.
async fn viewer(tx: &mut Tx, app: Option<Uuid>, user: Uuid) -> latchkey_store::Result<Option<User>> {
    let (Some(settings), Some(user)) = (self_service(tx, app).await?, tx.user(user).await?) else {
        return Ok(None);
    };
    if user.role.permits(Permission::GatewayRead) {
        return Ok(Some(user));
    }
    let member = tx.member(user.id).await?;
    Ok(member.is_some_and(|member| settings.access.grants(Capability::Viewer, &member)).then_some(user))
}

/// Those in charge of an app: who are named, by themselves or by a group, to ask for changes of it. Where nobody is, or
/// too many are, its admins.
async fn in_charge(tx: &mut Tx, app: Option<Uuid>) -> latchkey_store::Result<Vec<User>> {
    let Some(SelfService { access, .. }) = self_service(tx, app).await? else { return Ok(Vec::new()) };
    let rule = &access.settings_request;
    if rule.mode == AccessMode::Specific {
        let is_in_charge = |member: &Member| {
            access.grants(Capability::SettingsRequest, member) && access.grants(Capability::Viewer, member)
        };
        let named = tx.people_named(&rule.allow, MOST_IN_CHARGE as i64 + 1).await?;
        if named.len() <= MOST_IN_CHARGE {
            let named = named.into_iter().filter(|(_, member)| is_in_charge(member));
            let people: Vec<_> = named.map(|(user, _)| user).filter(is_told).collect();
            if !people.is_empty() {
                return Ok(people);
            }
        }
    }
    admins(tx).await
}

/// An app's settings; none where it was deleted.
async fn self_service(tx: &mut Tx, app: Option<Uuid>) -> latchkey_store::Result<Option<SelfService>> {
    let Some(app) = app else { return Ok(None) };
    Ok(tx.self_services(AccessScope::App(app)).await?.pop().map(|(_, settings)| settings))
}

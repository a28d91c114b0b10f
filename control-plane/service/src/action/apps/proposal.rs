//! A change of an app that is not made: what the app would be.

use latchkey_core::change::{Change, Configuration};
use latchkey_core::name::Name;
use latchkey_core::settings::AppSettings;
use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_world::World;
use uuid::Uuid;

use super::edit::EditApp;
use super::save::{VersionOrigin, checked, refuse_impossible};
use crate::action::Refusal;
use crate::action::change_requests::pending;

/// A change that may be made of an app.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// By an admin.
    Edit(Box<EditApp>),
    /// To the version of this number.
    Rollback(i64),
    /// What these changes of a pending request make of it.
    Request(Uuid, Vec<Change>),
}

/// An app as it is, and as it would be.
#[derive(Clone, Debug)]
pub struct ProposedApp {
    pub now: App,
    pub then: App,
}

/// What a proposal would make of an app. It is refused as the change would be; nothing is changed.
///
/// # Errors
/// There is no such app, it is revoked, the version is gone, or the settings would be wrong.
pub async fn propose(
    tx: &mut Tx,
    world: &World,
    id: Uuid,
    proposal: Proposal,
) -> Result<ProposedApp, Refusal> {
    let now = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    if now.status == Status::Revoked {
        return Err(Final.into());
    }
    let (name, settings, origin) = proposed(tx, world, &now, proposal).await?;
    let settings = checked(settings, &now.settings, origin, world)?;
    refuse_impossible(tx, world, &now, &settings).await?;
    let then = App { name, settings, ..now.clone() };
    Ok(ProposedApp { now, then })
}

/// The change request with this id, as a proposal for its app.
///
/// # Errors
/// There is none, or it is no longer pending.
pub async fn of_request(tx: &mut Tx, id: Uuid) -> Result<(Uuid, Proposal), Refusal> {
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    let request = pending(request)?;
    Ok((request.app_id, Proposal::Request(id, request.changes)))
}

async fn proposed(
    tx: &mut Tx,
    world: &World,
    now: &App,
    proposal: Proposal,
) -> Result<(Name, AppSettings, VersionOrigin), Refusal> {
    match proposal {
        Proposal::Edit(edit) => {
            let (mut name, mut settings) = (now.name.clone(), now.settings.clone());
            edit.apply(&mut name, &mut settings, world.now())?;
            Ok((name, settings, VersionOrigin::Edit))
        }
        Proposal::Rollback(number) => {
            let Some(version) = tx.version(now.id, number).await? else {
                return Err(Refusal::conflict("version_gone", format!("this app has no version {number}")));
            };
            Ok((version.name, version.settings, VersionOrigin::Rollback(number)))
        }
        Proposal::Request(id, changes) => {
            let current = Configuration::of(&now.name, &now.settings);
            if changes.iter().any(|change| change.differs(&current)) {
                let detail = "a field in this request has since been changed: it cannot be approved";
                return Err(Refusal::conflict("stale", detail));
            }
            let Ok((name, settings)) = current.with(&changes).into_parts() else {
                let detail = "its values no longer fit the settings: it cannot be approved";
                return Err(Refusal::conflict("stale", detail));
            };
            Ok((name, settings, VersionOrigin::Request(id)))
        }
    }
}

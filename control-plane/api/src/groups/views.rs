//! How smart groups look from outside.

use jiff::Timestamp;
use latchkey_core::access::Capability;
use latchkey_core::name::{Email, Name};
use latchkey_service::action::access::Refreshed;
use latchkey_service::gateways::propagation::Propagation;
use latchkey_store::group_members::{GroupMember, MembershipSource};
use latchkey_store::groups::Group;
use latchkey_store::subjects::GroupReference;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A reusable, named set of users.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct GroupView {
    /// Opaque.
    pub id: Uuid,
    /// Unique, whatever the case.
    #[schema(value_type = String)]
    pub name: Name,
    /// For people; may be empty.
    pub description: String,
    /// The value of the groups claim that fills it at sign-in; null where people are added by hand only.
    pub claim: Option<String>,
    /// How many people are in it.
    pub members: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its name, description or claim was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Someone in a smart group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupMemberView {
    /// The user's id.
    pub id: Uuid,
    /// Their address.
    #[schema(value_type = String)]
    pub email: Email,
    /// What others see.
    #[schema(value_type = String)]
    pub name: Name,
    /// Whether they may sign in.
    pub active: bool,
    /// Whether the groups claim put them in, rather than an admin.
    pub by_claim: bool,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub added_at: Timestamp,
}

/// What a change of members did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MembersChanged {
    /// How many keys it stopped, or let work again.
    pub keys: Refreshed,
    /// Which gateways know of those keys; null where there are none.
    pub propagation: Option<Propagation>,
}

/// What an addition of members did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MembersAdded {
    /// How many were not in it before, or only by claim.
    pub added: usize,
    /// What that did.
    #[serde(flatten)]
    pub change: MembersChanged,
}

/// An app that names a smart group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupUse {
    /// The app's id.
    pub app_id: Uuid,
    /// What it is called.
    pub app_name: String,
    /// On which of its lists the group is.
    pub lists: Vec<ListView>,
}

/// A list of an app's self-service settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ListView {
    /// Of which capability.
    pub capability: Capability,
    /// `allow` or `except`.
    pub list: String,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        let Group { id, name, description, claim, created_at, updated_at, members } = group;
        Self { id, name, description, claim, members, created_at, updated_at }
    }
}

impl From<GroupMember> for GroupMemberView {
    fn from(GroupMember { user, source, added_at }: GroupMember) -> Self {
        let (active, by_claim) = (user.is_active(), source == MembershipSource::Claim);
        Self { id: user.id, email: user.email, name: user.name, active, by_claim, added_at }
    }
}

impl From<GroupReference> for GroupUse {
    fn from(GroupReference { app, name, lists }: GroupReference) -> Self {
        let list = |(capability, list)| ListView { capability, list };
        Self { app_id: app, app_name: name, lists: lists.into_iter().map(list).collect() }
    }
}

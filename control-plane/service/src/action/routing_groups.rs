//! Routing groups.

use std::collections::BTreeSet;

use latchkey_core::change::changed;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::limits::given;
use latchkey_core::name::ModelName;
use latchkey_core::routing_group::{
    Failover, RoutingBalance, RoutingSettings, RoutingTarget, RoutingTier, SLOTS,
};
use latchkey_core::selection::Selection;
use latchkey_store::Tx;
use latchkey_store::routing_groups::RoutingGroup;
use latchkey_store::upstreams::{ModelProtocol, Provider};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::{Context, Refusal, taken};

/// The most groups there may be: gateways get them all in one message.
const MOST_GROUPS: usize = 500;
/// How many groups or apps a refusal names.
const SHOWN: usize = 10;

/// A routing group to create: with targets for all requests, or with tiers.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoutingGroup {
    /// What clients ask for as the model. It may be a model's name: apps that are given the group get it in the
    /// place of that model.
    pub name: ModelName,
    /// For people: at most 500 characters.
    #[serde(default)]
    pub description: String,
    /// What the weights are shares of: `requests` by default.
    #[serde(default)]
    pub balance: RoutingBalance,
    /// Where all requests go: at most 16, whose weights sum to 100.
    #[serde(default)]
    pub targets: Vec<RoutingTarget>,
    /// In the place of targets: where requests go by the size of their input.
    #[serde(default)]
    pub tiers: Vec<RoutingTier>,
    /// When a request moves to another target.
    #[serde(default)]
    pub failover: Failover,
    /// Whether the requests of a conversation stay at one target: false by default.
    #[serde(default)]
    pub sticky: bool,
}

/// What to change of a routing group. Its name cannot be changed: apps and clients know it by that.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRoutingGroup {
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub description: Option<String>,
    /// What the weights are shares of.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = RoutingBalance)]
    pub balance: Option<RoutingBalance>,
    /// Where all requests go; replaced as a whole, and with it the tiers.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<RoutingTarget>)]
    pub targets: Option<Vec<RoutingTarget>>,
    /// Where requests go by the size of their input; replaced as a whole, and with it the targets for all sizes.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<RoutingTier>)]
    pub tiers: Option<Vec<RoutingTier>>,
    /// When a request moves to another target; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Failover)]
    pub failover: Option<Failover>,
    /// Whether the requests of a conversation stay at one target.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub sticky: Option<bool>,
}

impl EditRoutingGroup {
    fn apply(self, settings: RoutingSettings) -> RoutingSettings {
        let Self { description, balance, targets, tiers, failover, sticky } = self;
        let (targets, tiers) = match (targets, tiers) {
            (None, None) => (settings.targets, settings.tiers),
            (targets, tiers) => (targets.unwrap_or_default(), tiers.unwrap_or_default()),
        };
        RoutingSettings {
            description: description.unwrap_or(settings.description),
            balance: balance.unwrap_or(settings.balance),
            targets,
            tiers,
            failover: failover.unwrap_or(settings.failover),
            sticky: sticky.unwrap_or(settings.sticky),
        }
    }
}

/// Adds a group.
///
/// # Errors
/// A field is wrong, a target does not exist, or another group has this name.
pub async fn create(
    tx: &mut Tx,
    context: Context<'_>,
    new: NewRoutingGroup,
) -> Result<RoutingGroup, Refusal> {
    let NewRoutingGroup { name, description, balance, targets, tiers, failover, sticky } = new;
    let settings = RoutingSettings { description, balance, targets, tiers, failover, sticky }.validated()?;
    lock_new_targets(tx, &settings).await?;
    let revision = tx.catalogue_revision(context.world).await?;
    let groups = tx.routing_groups().await?;
    if groups.iter().any(|group| group.name == name) {
        return Err(Refusal::field("name", NAME_TAKEN));
    }
    if groups.len() >= MOST_GROUPS {
        let detail = format!("there can be at most {MOST_GROUPS} routing groups: delete one first");
        return Err(Refusal::conflict("too_many_routing_groups", detail));
    }
    let providers = check_targets(tx, &settings).await?;
    let now = context.world.now();
    let group =
        RoutingGroup { id: context.world.id(), name, settings, created_at: now, updated_at: now, revision };
    tx.insert_routing_group(&group).await.map_err(|error| taken(error, "name", NAME_TAKEN))?;
    assign_slots(tx, &group.settings, &providers).await?;
    context.audit(tx, done("routing_group.created", &group, json!({ "settings": group.settings })));
    Ok(group)
}

/// Edits a group.
///
/// # Errors
/// There is no such group, a field is wrong, or a target does not exist.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    edit: EditRoutingGroup,
) -> Result<RoutingGroup, Refusal> {
    let before = find(tx, id).await?;
    let settings = edit.apply(before.settings.clone()).validated()?;
    if settings == before.settings {
        return Ok(before);
    }
    lock_new_targets(tx, &settings).await?;
    let revision = tx.catalogue_revision(context.world).await?;
    let providers = check_targets(tx, &settings).await?;
    let paths = changed(&shape(&before.settings), &shape(&settings));
    let group = RoutingGroup { settings, updated_at: context.world.now(), revision, ..before };
    tx.update_routing_group(&group).await?;
    assign_slots(tx, &group.settings, &providers).await?;
    context.audit(tx, done("routing_group.updated", &group, json!({ "changed": paths })));
    Ok(group)
}

/// Removes a group that no app names. Gives the revision that removes it.
///
/// # Errors
/// There is no such group, or apps name it.
pub async fn delete(tx: &mut Tx, context: Context<'_>, id: Uuid) -> Result<i64, Refusal> {
    let group = find(tx, id).await?;
    // Who gives it to an app takes a revision too, so that one waits for the other.
    let revision = tx.catalogue_revision(context.world).await?;
    let settings = tx.all_app_settings().await?.into_iter();
    let names_it = |selection: &Selection| matches!(selection, Selection::Only(names) if names.iter().any(|name| name == group.name.as_str()));
    let apps: Vec<_> =
        settings.filter(|(_, app)| names_it(&app.routing_groups)).map(|(name, _)| name).collect();
    if !apps.is_empty() {
        let detail = format!("these apps use it: {}. Remove it from them first", listed(&apps));
        return Err(Refusal::conflict("in_use", detail));
    }
    tx.delete_routing_group(id).await?;
    context.audit(tx, done("routing_group.deleted", &group, json!({})));
    Ok(revision)
}

/// Refuses to take away what groups have as a target. Whoever asks has taken a revision, so that no group gets the
/// target meanwhile.
///
/// # Errors
/// Which groups have it.
pub(super) async fn refuse_targets(
    tx: &mut Tx,
    what: &str,
    is_target: impl Fn(&RoutingSettings) -> bool,
) -> Result<(), Refusal> {
    let groups = tx.routing_groups().await?.into_iter().filter(|group| is_target(&group.settings));
    let names: Vec<_> = groups.map(|group| String::from(group.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let detail =
        format!("{what} is a target of these routing groups: {}. Remove it from them first", listed(&names));
    Err(Refusal::conflict("in_use", detail))
}

/// Refuses another kind of a provider where a group would then have targets of two APIs. The provider has the new
/// one already in this transaction, which has taken a revision.
///
/// # Errors
/// In which groups.
pub(super) async fn refuse_mixed(tx: &mut Tx, provider: &str) -> Result<(), Refusal> {
    let providers = tx.upstreams::<ModelProtocol>().await?;
    let mut mixed = Vec::new();
    for group in tx.routing_groups().await?.into_iter().filter(|group| group.settings.has_provider(provider))
    {
        let mut invalid = Invalid::default();
        group
            .settings
            .check_family(|name| of_name(&providers, name).map(|one| one.protocol.kind), &mut invalid);
        if !invalid.0.is_empty() {
            mixed.push(group.name.into());
        }
    }
    if mixed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "uses a different API than the other targets of these routing groups: {}. Remove the provider from \
         them first",
        listed(&mixed)
    );
    Err(Refusal::field("kind", message))
}

const NAME_TAKEN: &str = "another routing group has this name";

async fn find(tx: &mut Tx, id: Uuid) -> Result<RoutingGroup, Refusal> {
    tx.routing_group(id).await?.ok_or(Refusal::NotFound("routing group"))
}

/// Some names, and whether there are more.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and more") } else { shown }
}

fn of_name<'a>(providers: &'a [Provider], name: &str) -> Option<&'a Provider> {
    providers.iter().find(|provider| provider.name.as_str() == name)
}

/// Locks the providers that become targets for the first time: before the revision is taken, as whoever edits them
/// does.
async fn lock_new_targets(tx: &mut Tx, settings: &RoutingSettings) -> Result<(), Refusal> {
    let providers = tx.upstreams::<ModelProtocol>().await?;
    let has_slot =
        |name: &str| of_name(&providers, name).is_some_and(|one| one.protocol.group_slot.is_some());
    let names: BTreeSet<_> = settings.targets().map(|(_, target)| target.provider.as_str()).collect();
    for name in names.into_iter().filter(|name| !has_slot(name)) {
        tx.upstream::<ModelProtocol>(name).await?;
    }
    Ok(())
}

/// Refuses targets that do not exist, or that speak different APIs. Gives all providers.
async fn check_targets(tx: &mut Tx, settings: &RoutingSettings) -> Result<Vec<Provider>, Refusal> {
    let providers = tx.upstreams::<ModelProtocol>().await?;
    let mut invalid = Invalid::default();
    for (path, RoutingTarget { provider, model, .. }) in settings.targets() {
        if of_name(&providers, provider.as_str()).is_none() {
            let message = format!("provider `{provider}` does not exist: create it first");
            invalid.0.push(FieldError::new(format!("{path}.provider"), message));
        } else if !tx.offers_model(provider.as_str(), model.as_str()).await? {
            let message = format!("provider `{provider}` has no model `{model}`: create it first");
            invalid.0.push(FieldError::new(format!("{path}.model"), message));
        }
    }
    settings.check_family(|name| of_name(&providers, name).map(|one| one.protocol.kind), &mut invalid);
    invalid.into_result()?;
    Ok(providers)
}

/// Gives each provider that is a target for the first time the smallest slot that is free.
async fn assign_slots(
    tx: &mut Tx,
    settings: &RoutingSettings,
    providers: &[Provider],
) -> Result<(), Refusal> {
    let mut taken: BTreeSet<u8> = tx.group_slots().await?.into_iter().collect();
    let mut given = BTreeSet::new();
    for (path, RoutingTarget { provider, .. }) in settings.targets() {
        let slot = of_name(providers, provider.as_str()).and_then(|one| one.protocol.group_slot);
        if slot.is_some() || !given.insert(provider) {
            continue;
        }
        let Some(free) = (0..SLOTS).find(|slot| !taken.contains(slot)) else {
            let message = format!(
                "exceeds the limit of {SLOTS} providers for routing groups. A provider that was ever a \
                 target counts until it is deleted"
            );
            return Err(Refusal::field(&format!("{path}.provider"), message));
        };
        taken.insert(free);
        tx.set_group_slot(provider.as_str(), free).await?;
    }
    Ok(())
}

fn shape(settings: &RoutingSettings) -> Value {
    json!(settings)
}

fn done<'a>(action: &'static str, group: &'a RoutingGroup, data: Value) -> AuditedAction<'a> {
    let name = group.name.as_str();
    AuditedAction { action, kind: "routing_group", id: group.id.to_string(), name, app: None, data }
}

//! Providers of models, MCP servers, and external detectors.

mod detector;
mod mcp;
mod model;
pub mod reach;

use latchkey_core::change::changed;
use latchkey_core::invalid::Invalid;
use latchkey_core::name::Slug;
use latchkey_core::provider::{BadUrl, BaseUrl, is_credential};
use latchkey_core::settings::AppSettings;
use latchkey_store::Tx;
use latchkey_store::upstreams::{Protocol, Upstream};
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::audit::AuditedAction;
use super::{Context, Refusal, taken};

pub use detector::EditDetectorProtocol;
pub use model::EditModelProtocol;

/// How upstreams of a protocol are administered.
pub trait Administered: Protocol {
    /// Where requests have the URL.
    const URL_FIELD: &'static str;
    /// What the audit log calls such an upstream, and what was done to one.
    const AUDIT: AuditNames;

    /// What a new one says of the protocol.
    type Draft: Send + Sync;
    /// What to change of it; the default is nothing.
    type Edit: Send + Sync + Default;

    /// # Errors
    /// A field is wrong.
    fn new(draft: Self::Draft, world: &World) -> Result<Self, Refusal>;

    /// # Errors
    /// A field is wrong.
    fn edit(&mut self, edit: Self::Edit) -> Result<(), Refusal>;

    /// More that the audit log is told of a new one.
    fn created(&self) -> Value;

    /// What can be edited, by the names of the API's fields.
    fn edited(&self) -> Value;

    /// Refuses to delete one that something else needs, besides apps.
    ///
    /// # Errors
    /// What it is.
    fn refuse_needed(tx: &mut Tx, name: &str) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Refuses an edit, just written, that something else does not go with.
    ///
    /// # Errors
    /// A field, and what that is.
    fn refuse_edit(
        _tx: &mut Tx,
        _before: &Upstream<Self>,
        _after: &Upstream<Self>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// Whether an app names it.
    fn is_named_by(settings: &AppSettings, name: &str) -> bool;

    /// How apps name it, before the list of those that do.
    const NAMED_BY: &'static str;
}

/// The names of the audit log.
#[derive(Clone, Copy, Debug)]
pub struct AuditNames {
    kind: &'static str,
    created: &'static str,
    updated: &'static str,
    deleted: &'static str,
}

impl AuditNames {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

#[derive(Debug)]
pub struct NewUpstream<P: Administered> {
    pub name: Slug,
    pub url: String,
    pub credential: Option<SecretString>,
    /// The cluster of the admin's own Envoy configuration; none has Latchkey run one.
    pub cluster: Option<String>,
    pub enabled: bool,
    pub protocol: P::Draft,
}

/// What to change of an upstream; none leaves it, the inner none is for nothing.
#[derive(Debug)]
pub struct EditUpstream<P: Administered> {
    pub url: Option<String>,
    pub credential: Option<Option<SecretString>>,
    pub cluster: Option<Option<String>>,
    pub enabled: Option<bool>,
    pub protocol: P::Edit,
}

/// Why a cluster and a credential exclude each other.
const CLUSTER_BRINGS_CREDENTIAL: &str =
    "has no effect: with `cluster`, your own Envoy configuration provides the credential";

/// A credential that stays goes nowhere else: who names another host need not know it.
const BELONGS_ELSEWHERE: &str = "belongs to the previous scheme, host, and port: send the credential for the new URL, or null to remove \
     it";

/// # Errors
/// Fields that are wrong, or a name that is taken.
pub async fn create<P: Administered>(
    tx: &mut Tx,
    context: Context<'_>,
    new: NewUpstream<P>,
) -> Result<Upstream<P>, Refusal> {
    let NewUpstream { name, url, credential, cluster, enabled, protocol } = new;
    let address = check::<P>(&url, credential.as_ref(), cluster.as_deref())?;
    let protocol = P::new(protocol, context.world)?;
    let sealed_credential = credential.map(|credential| seal::<P>(context, &name, &credential));
    let now = context.world.now();
    let upstream = Upstream {
        name,
        url,
        address,
        sealed_credential,
        cluster,
        enabled,
        created_at: now,
        updated_at: now,
        protocol,
    };
    tx.insert_upstream(&upstream)
        .await
        .map_err(|error| taken(error, "name", &format!("another {} has this name", P::NOUN)))?;
    tx.catalogue_revision(context.world).await?;
    context.audit(tx, done(P::AUDIT.created, &upstream, upstream.protocol.created()));
    Ok(upstream)
}

/// # Errors
/// There is none of this name, or fields are wrong.
pub async fn update<P: Administered>(
    tx: &mut Tx,
    context: Context<'_>,
    name: &str,
    edit: EditUpstream<P>,
) -> Result<Upstream<P>, Refusal> {
    let mut upstream = tx.upstream::<P>(name).await?.ok_or(Refusal::NotFound(P::NOUN))?;
    let before = upstream.clone();
    upstream.url = edit.url.unwrap_or(upstream.url);
    upstream.enabled = edit.enabled.unwrap_or(upstream.enabled);
    upstream.cluster = edit.cluster.unwrap_or(upstream.cluster);
    upstream.protocol.edit(edit.protocol)?;
    let credential = edit.credential.as_ref().and_then(Option::as_ref);
    upstream.address = check::<P>(&upstream.url, credential, upstream.cluster.as_deref())?;
    match edit.credential {
        Some(credential) => {
            upstream.sealed_credential =
                credential.map(|credential| seal::<P>(context, &upstream.name, &credential));
        }
        None if upstream.sealed_credential.is_some() => refuse_elsewhere(&before.address, &upstream.address)?,
        None => {}
    }
    if upstream.cluster.is_some() && upstream.sealed_credential.is_some() {
        return Err(Refusal::field("credential", CLUSTER_BRINGS_CREDENTIAL));
    }
    if upstream == before {
        return Ok(upstream);
    }
    upstream.updated_at = context.world.now();
    tx.update_upstream(&upstream).await?;
    tx.catalogue_revision(context.world).await?;
    P::refuse_edit(tx, &before, &upstream).await?;
    let paths = changed(&edited(&before), &edited(&upstream));
    context.audit(tx, done(P::AUDIT.updated, &upstream, json!({ "changed": paths })));
    Ok(upstream)
}

/// Removes an upstream that nothing refers to.
///
/// # Errors
/// There is none of this name, or something refers to it.
pub async fn delete<P: Administered>(tx: &mut Tx, context: Context<'_>, name: &str) -> Result<(), Refusal> {
    let upstream = tx.upstream::<P>(name).await?.ok_or(Refusal::NotFound(P::NOUN))?;
    // Who refers to it takes a revision too, so that one waits for the other.
    tx.catalogue_revision(context.world).await?;
    P::refuse_needed(tx, name).await?;
    let naming = |(app, settings): (String, AppSettings)| P::is_named_by(&settings, name).then_some(app);
    let apps: Vec<_> = tx.all_app_settings().await?.into_iter().filter_map(naming).take(10).collect();
    if !apps.is_empty() {
        return Err(Refusal::conflict("in_use", format!("{}: {}", P::NAMED_BY, apps.join(", "))));
    }
    tx.delete_upstream::<P>(name).await?;
    context.audit(tx, done(P::AUDIT.deleted, &upstream, json!({})));
    Ok(())
}

/// Reads the URL, and checks what goes with it.
fn check<P: Administered>(
    url: &str,
    credential: Option<&SecretString>,
    cluster: Option<&str>,
) -> Result<BaseUrl, Refusal> {
    let mut invalid = Invalid::default();
    let url = invalid.check::<_, BadUrl>(P::URL_FIELD, url.parse());
    let mut refuse = |field: &str, wrong: bool, message: &str| {
        if wrong {
            invalid.check::<(), _>(field, Err(message));
        }
    };
    let unfit = |credential: &SecretString| !is_credential(credential.expose_secret());
    refuse(
        "credential",
        credential.is_some_and(unfit),
        "must be 1 to 4096 visible ASCII characters without spaces",
    );
    refuse("credential", credential.is_some() && cluster.is_some(), CLUSTER_BRINGS_CREDENTIAL);
    refuse(
        "cluster",
        cluster.is_some_and(|name| name.starts_with("latchkey")),
        "names that begin with `latchkey` are reserved: leave it out to have Latchkey manage the cluster",
    );
    let is_name = |name: &str| (1..=200).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
    refuse(
        "cluster",
        cluster.is_some_and(|name| !is_name(name)),
        "must be the name of an Envoy cluster: 1 to 200 visible characters",
    );
    url.filter(|_| invalid.0.is_empty()).ok_or(Refusal::Invalid(invalid))
}

/// Refuses to take the credential from before along to another scheme, host or port.
fn refuse_elsewhere(before: &BaseUrl, after: &BaseUrl) -> Result<(), Refusal> {
    let origin = |url: &BaseUrl| (url.tls, url.host.clone(), url.port);
    if origin(before) == origin(after) {
        return Ok(());
    }
    Err(Refusal::field("credential", BELONGS_ELSEWHERE))
}

fn seal<P: Protocol>(context: Context<'_>, name: &Slug, credential: &SecretString) -> Vec<u8> {
    let purpose = P::purpose(name.as_str());
    context.master.seal(context.world, purpose, credential.expose_secret().as_bytes())
}

fn done<'a, P: Administered>(
    action: &'static str,
    upstream: &'a Upstream<P>,
    data: Value,
) -> AuditedAction<'a> {
    let name = upstream.name.as_str();
    AuditedAction { action, kind: P::AUDIT.kind, id: name.to_owned(), name, app: None, data }
}

/// What can be edited; the credential only as it is sealed, which is never the same twice.
fn edited<P: Administered>(upstream: &Upstream<P>) -> Value {
    let mut edited = upstream.protocol.edited();
    edited[P::URL_FIELD] = json!(upstream.url);
    edited["credential"] = json!(upstream.sealed_credential);
    edited["cluster"] = json!(upstream.cluster);
    edited["enabled"] = json!(upstream.enabled);
    edited
}

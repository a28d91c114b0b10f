//! Providers.

use latchkey_core::change::changed;
use latchkey_core::name::Slug;
use latchkey_core::provider::{self, Dialect, DialectEdit, ProviderKind};
use latchkey_core::selection::Selection;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::audit::Done;
use super::upstream::{self, CLUSTER_BRINGS_CREDENTIAL};
use super::{Context, Refusal, taken};
use crate::seal::Purpose;
use crate::store::Tx;
use crate::store::providers::Provider;

/// What a provider is to be.
#[derive(Debug)]
pub struct NewProvider {
    /// Unique.
    pub name: Slug,
    /// Whose protocol it speaks.
    pub kind: ProviderKind,
    /// Such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// What it knows us by.
    pub credential: Option<SecretString>,
    /// An existing Envoy cluster's name; none has Latchkey run one.
    pub cluster: Option<String>,
    /// How it wants to be asked.
    pub dialect: Dialect,
    /// Whether its models can be called.
    pub enabled: bool,
    /// For how long an answer may be silent; none for the gateway's own limit.
    pub idle_timeout_seconds: Option<u32>,
}

/// What to change of a provider; none leaves it.
#[derive(Debug, Default)]
pub struct ProviderEdit {
    /// Whose protocol it speaks.
    pub kind: Option<ProviderKind>,
    /// Such as `https://api.openai.com/v1`.
    pub base_url: Option<String>,
    /// What it knows us by; the inner none for nothing.
    pub credential: Option<Option<SecretString>>,
    /// An existing Envoy cluster's name; the inner none has Latchkey run one.
    pub cluster: Option<Option<String>>,
    /// How it wants to be asked.
    pub dialect: DialectEdit,
    /// Whether its models can be called.
    pub enabled: Option<bool>,
    /// For how long an answer may be silent; the inner none for the gateway's own limit.
    pub idle_timeout_seconds: Option<Option<u32>>,
}

/// Adds a provider.
///
/// # Errors
/// Fields that are wrong, or a name that is taken.
pub async fn create(tx: &mut Tx, context: Context<'_>, new: NewProvider) -> Result<Provider, Refusal> {
    let url = upstream::check(("base_url", &new.base_url), new.credential.as_ref(), new.cluster.as_deref())?;
    check_idle_timeout(new.idle_timeout_seconds)?;
    let now = context.world.now();
    let provider = Provider {
        sealed_credential: new.credential.map(|credential| seal(context, &new.name, &credential)),
        name: new.name,
        kind: new.kind,
        base_url: new.base_url,
        url,
        cluster: new.cluster,
        dialect: new.dialect,
        enabled: new.enabled,
        idle_timeout_seconds: new.idle_timeout_seconds,
        created_at: now,
        updated_at: now,
    };
    tx.insert_provider(&provider)
        .await
        .map_err(|error| taken(error, "name", "another provider has this name"))?;
    tx.catalogue_revision(context.world).await?;
    context.audit(tx, done("provider.created", &provider, json!({ "kind": provider.kind })));
    Ok(provider)
}

/// Edits a provider.
///
/// # Errors
/// There is no such provider, or fields are wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    name: &str,
    edit: ProviderEdit,
) -> Result<Provider, Refusal> {
    let mut provider = tx.provider(name).await?.ok_or(Refusal::NotFound("provider"))?;
    let before = provider.clone();
    provider.kind = edit.kind.unwrap_or(provider.kind);
    provider.base_url = edit.base_url.unwrap_or(provider.base_url);
    provider.enabled = edit.enabled.unwrap_or(provider.enabled);
    provider.cluster = edit.cluster.unwrap_or(provider.cluster);
    provider.dialect = edit.dialect.of(provider.dialect);
    provider.idle_timeout_seconds = edit.idle_timeout_seconds.unwrap_or(provider.idle_timeout_seconds);
    check_idle_timeout(provider.idle_timeout_seconds)?;
    let credential = edit.credential.as_ref().and_then(Option::as_ref);
    provider.url =
        upstream::check(("base_url", &provider.base_url), credential, provider.cluster.as_deref())?;
    match edit.credential {
        Some(credential) => {
            provider.sealed_credential =
                credential.map(|credential| seal(context, &provider.name, &credential));
        }
        None if provider.sealed_credential.is_some() => upstream::check_kept(&before.url, &provider.url)?,
        None => {}
    }
    if provider.cluster.is_some() && provider.sealed_credential.is_some() {
        return Err(Refusal::field("credential", CLUSTER_BRINGS_CREDENTIAL));
    }
    if provider == before {
        return Ok(provider);
    }
    provider.updated_at = context.world.now();
    tx.update_provider(&provider).await?;
    tx.catalogue_revision(context.world).await?;
    let paths = changed(&edited(&before), &edited(&provider));
    context.audit(tx, done("provider.updated", &provider, json!({ "changed": paths })));
    Ok(provider)
}

/// Removes a provider that nothing refers to.
///
/// # Errors
/// There is no such provider, or models or apps refer to it.
pub async fn delete(tx: &mut Tx, context: Context<'_>, name: &str) -> Result<(), Refusal> {
    let provider = tx.provider(name).await?.ok_or(Refusal::NotFound("provider"))?;
    // Who refers to it takes a revision too, so that one waits for the other.
    tx.catalogue_revision(context.world).await?;
    let models = tx.count_models_of(name).await?;
    if models > 0 {
        return Err(Refusal::conflict(
            "in_use",
            format!("{models} models are offered by it: delete them first"),
        ));
    }
    let allowing = |(app, settings): (String, latchkey_core::settings::AppSettings)| {
        let Selection::Only(names) = settings.allowed_providers else { return None };
        names.iter().any(|allowed| allowed == name).then_some(app)
    };
    let apps: Vec<_> = tx.all_app_settings().await?.into_iter().filter_map(allowing).take(10).collect();
    if !apps.is_empty() {
        return Err(Refusal::conflict("in_use", format!("these apps allow it by name: {}", apps.join(", "))));
    }
    tx.delete_provider(name).await?;
    context.audit(tx, done("provider.deleted", &provider, json!({})));
    Ok(())
}

fn check_idle_timeout(seconds: Option<u32>) -> Result<(), Refusal> {
    let checked = seconds.map_or(Ok(()), provider::check_idle_timeout);
    checked.map_err(|reason| Refusal::field("idle_timeout_seconds", reason))
}

fn seal(context: Context<'_>, name: &Slug, credential: &SecretString) -> Vec<u8> {
    context.master.seal(
        context.world,
        Purpose::Credential(name.as_str()),
        credential.expose_secret().as_bytes(),
    )
}

fn done<'a>(action: &'static str, provider: &'a Provider, data: Value) -> Done<'a> {
    let name = provider.name.as_str();
    Done { action, kind: "provider", id: name.to_owned(), name, app: None, data }
}

/// What of a provider can be edited; the credential only as it is sealed, which is never the same twice.
fn edited(provider: &Provider) -> Value {
    json!({
        "kind": provider.kind,
        "base_url": provider.base_url,
        "credential": provider.sealed_credential,
        "cluster": provider.cluster,
        "output_limit": provider.dialect.output_limit,
        "stream_options": provider.dialect.stream_options,
        "enabled": provider.enabled,
        "idle_timeout_seconds": provider.idle_timeout_seconds,
    })
}

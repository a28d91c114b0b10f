//! What the API does with providers, MCP servers and external detectors alike.

use axum::http::StatusCode;
use latchkey_core::actor::Actor;
use latchkey_core::name::Slug;
use latchkey_service::action::Refusal;
use latchkey_service::action::upstreams::{self, Administered, EditUpstream, NewUpstream, reach};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::body::JsonBody;
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::precondition::IfMatch;
use super::problem::Problem;

pub use latchkey_store::upstreams::{
    Detector, DetectorProtocol, McpProtocol, McpServer, ModelProtocol, Provider, Upstream,
};

/// How the API shows and takes upstreams of a protocol.
pub trait UpstreamResource: Administered {
    type View: Serialize + Send + Sync;
    type NewBody: DeserializeOwned + Send + Into<NewUpstream<Self>>;
    type EditBody: DeserializeOwned + Send + Into<EditUpstream<Self>>;

    /// `out_of_reach` is why gateways do not connect to it.
    fn view(upstream: Upstream<Self>, out_of_reach: Option<String>) -> Self::View;
}

/// An upstream as the API shows it.
pub fn view<P: UpstreamResource>(api: &Api, upstream: Upstream<P>) -> P::View {
    let out_of_reach = reach::out_of_reach(&api.opened, &upstream);
    P::view(upstream, out_of_reach)
}

/// Every upstream of a protocol, oldest first.
pub async fn all<P: UpstreamResource>(api: &Api) -> Result<Vec<Upstream<P>>, Problem> {
    Ok(api.store.upstreams::<P>().await?)
}

pub async fn list<P: UpstreamResource>(api: &Api) -> Result<ListPage<P::View>, Problem> {
    let items = all::<P>(api).await?.into_iter().map(|it| view(api, it)).collect();
    Ok(ListPage { items, next_cursor: None })
}

pub async fn find<P: UpstreamResource>(api: &Api, name: &Slug) -> Result<Upstream<P>, Problem> {
    Ok(api.store.upstream(name.as_str()).await?.ok_or(Refusal::NotFound(P::NOUN))?)
}

pub async fn create<P: UpstreamResource>(
    api: &Api,
    actor: &Actor,
    new: Creation<JsonBody<P::NewBody>>,
) -> Result<Answered<P::View>, Problem> {
    let new = new.map(|JsonBody(new)| new.into());
    reach::check_new(&api.opened, &new.new).await?;
    new.once(api, StatusCode::CREATED, async |tx, new| {
        Ok(view(api, upstreams::create(tx, api.context(actor), new).await?))
    })
    .await
}

pub async fn update<P: UpstreamResource>(
    api: &Api,
    actor: &Actor,
    name: &Slug,
    if_match: &IfMatch,
    edit: P::EditBody,
) -> Result<Upstream<P>, Problem> {
    let (name, edit) = (name.as_str(), edit.into());
    reach::check_edit(&api.opened, &api.store, name, &edit).await?;
    let mut tx = api.store.begin().await?;
    if let Some(now) = tx.upstream::<P>(name).await? {
        if_match.check(api, (P::AUDIT.kind(), name), &view(api, now)).await?;
    }
    let upstream = upstreams::update(&mut tx, api.context(actor), name, edit).await?;
    tx.commit().await?;
    Ok(upstream)
}

pub async fn delete<P: UpstreamResource>(api: &Api, actor: &Actor, name: &Slug) -> Result<(), Problem> {
    let mut tx = api.store.begin().await?;
    upstreams::delete::<P>(&mut tx, api.context(actor), name.as_str()).await?;
    Ok(tx.commit().await?)
}

//! What becomes of a request: endpoint, snapshot, credential, key, app, address, identity, and once
//! the body is there, model and provider, or MCP server and tool. The first rule that fails decides.

mod mcp;
mod model;

use std::borrow::Cow;
use std::cell::{LazyCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use latchkey_proto::key::KeyHash;
use memchr::memmem;

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::{Attribution, Reply};
use crate::answer::{model_list, readiness};
use crate::discovery::view::{Snapshot, View};
use crate::identity::identify;
use crate::limits::account::{Demand, Patience};
use crate::limits::quota::ReserveAttempt;
use crate::request::body::{BodyFormat, RequestBody};
use crate::request::endpoint::{ClientApi, Endpoint, ModelOperation, is_oauth, split_query};
use crate::request::header::Headers;
use crate::request::mcp_endpoint::{self, is_mcp_path};
use crate::request::redaction::holds_key;
use crate::request::{conversation, credential};
use crate::snapshot::{AppPolicy, CredentialMode, KeyRecord, Status, UnixMs};
use crate::store::SharedStore;
use crate::upstream::forward::Forward;

/// What the gate must ask the host. It asks only when a rule needs the answer.
pub trait World {
    /// The time.
    fn now(&self) -> UnixMs;

    /// The trusted address of the client.
    fn client_address(&self) -> Option<IpAddr>;

    /// A number that spreads those who must come back; where nobody comes back, any.
    fn random(&self) -> u64 {
        0
    }
}

/// A body that is copied from the host where somebody looks at it.
type LazyBody<F> = LazyCell<Vec<u8>, F>;

/// What the headers have decided.
#[derive(Debug)]
pub enum HeadersDecision {
    /// The gateway answers by itself.
    Reply(Reply),
    /// The body decides.
    NeedBody(Box<Admitted>),
}

/// Where a request is decided.
#[derive(Debug)]
pub struct Gate<'a, S, W> {
    /// What is known.
    pub view: &'a View<S>,
    /// The host.
    pub world: &'a W,
    /// Whether another request can be recorded.
    pub has_room: bool,
    /// How the request takes to waiting, after it has waited for so long.
    pub patience: Patience,
}

impl<S, W: World> Gate<'_, S, W> {
    fn attempt(&self, now: UnixMs) -> ReserveAttempt {
        ReserveAttempt { now, patience: self.patience, random: self.world.random() }
    }
}

/// What the body has decided.
#[derive(Debug)]
pub enum BodyDecision {
    /// The gateway answers by itself.
    Reply(Reply),
    /// The provider, or the MCP server, answers.
    Forward(Box<Forward>),
    /// A lease is dry, or others hold what is left: the request waits until its demand is answered, or for
    /// a moment where it has none, and is then decided on again.
    Wait(Demand),
}

/// A request whose key is good; its body is still to come.
#[derive(Debug)]
pub struct Admitted {
    call: AdmittedCall,
    query: String,
    /// Whether the model may think between tool calls, with a budget for the whole turn.
    interleaved_thinking: bool,
    /// The key as it was when the headers came, and when that was.
    key: ResolvedKey,
    resolved_at: UnixMs,
    /// What the body says, while the request waits: it is read once.
    body: RefCell<Option<RequestBody>>,
    /// Whose request it is.
    pub attribution: Attribution,
}

/// What is asked for, as far as the headers say.
#[derive(Debug)]
enum AdmittedCall {
    /// A model's answer.
    Model(ModelOperation, BodyFormat),
    /// Something of an MCP server.
    Mcp(Box<mcp::McpRequest>),
}

/// A key that opens its app.
#[derive(Clone, Debug)]
struct ResolvedKey {
    snapshot: Snapshot,
    record: KeyRecord,
    app: Rc<AppPolicy>,
}

/// How long a resolved key counts as current. A body mostly comes with its headers; looking
/// everything up twice for it would double what the gate costs.
const FRESH_MS: i64 = 5;

/// Decides on a request's headers.
pub fn admit<S: SharedStore>(headers: Headers<'_>, view: &View<S>, world: &impl World) -> HeadersDecision {
    decide_headers(headers, view, world, || Ok(credential::find(headers)?.hash()))
}

/// Decides on a request that carries the key with this hash, whatever its headers say.
pub fn admit_key<S: SharedStore>(
    hash: KeyHash,
    headers: Headers<'_>,
    view: &View<S>,
    world: &impl World,
) -> HeadersDecision {
    decide_headers(headers, view, world, || Ok(hash))
}

fn decide_headers<S: SharedStore>(
    headers: Headers<'_>,
    view: &View<S>,
    world: &impl World,
    find: impl FnOnce() -> Result<KeyHash, Denial>,
) -> HeadersDecision {
    let (path, query) = split_query(headers.text(":path").unwrap_or_default());
    let refused = |denial: Denial| match path {
        path if is_oauth(path) => denial.oauth_reply(),
        path if is_mcp_path(path) => denial.rpc_reply(None),
        path => denial.reply(ClientApi::of(path)),
    };
    if [path, query].into_iter().any(holds_key) {
        return HeadersDecision::Reply(refused(Code::KeyInQuery.into()));
    }
    let endpoint = match Endpoint::parse(headers.text(":method").unwrap_or_default(), path) {
        Ok(Endpoint::Ready) => return HeadersDecision::Reply(readiness::answer(view, world)),
        Ok(endpoint) => endpoint,
        Err(denial) => return HeadersDecision::Reply(refused(denial)),
    };
    let (snapshot, record) = match authenticate(view, find) {
        Ok(found) => found,
        Err(denial) => return HeadersDecision::Reply(refused(denial)),
    };
    let (mut attribution, called) = (Attribution::from(&record), endpoint.name());
    let provider = match &endpoint {
        Endpoint::Mcp(target) => {
            view.catalogue(snapshot).mcp_server(&target.server).map(|server| server.provider())
        }
        _ => None,
    };
    let provider = provider.unwrap_or_default();
    let decided = authorize(snapshot, &record, view, world).and_then(|app| {
        attribution.identity = identify(headers, &app, &record, view.verified(), world)?;
        Ok(app)
    });
    let decided = decided.and_then(|app| {
        let call = match endpoint {
            Endpoint::Call(operation) => {
                conversation::check(headers, &app)?;
                AdmittedCall::Model(operation, BodyFormat::of(operation, headers)?)
            }
            Endpoint::Mcp(target) => {
                conversation::check(headers, &app)?;
                AdmittedCall::Mcp(mcp::McpRequest::new(target, provider.clone(), headers).into())
            }
            Endpoint::RetrieveModel(shape, name) => {
                let model = model_list::retrieve(&view.catalogue(snapshot), &app, shape, &name)?;
                return Ok(HeadersDecision::Reply(model.attributed(attribution.clone(), called)));
            }
            Endpoint::ListModels(_) | Endpoint::Ready => {
                let list = model_list::list(&view.catalogue(snapshot), &app, ClientApi::of(path), query)?;
                return Ok(HeadersDecision::Reply(list.attributed(attribution.clone(), called)));
            }
        };
        let (query, resolved_at) = (query.to_owned(), world.now());
        let interleaved_thinking = thinks_between_calls(headers);
        let key = ResolvedKey { snapshot, record, app };
        Ok(HeadersDecision::NeedBody(Box::new(Admitted {
            call,
            query,
            interleaved_thinking,
            key,
            resolved_at,
            body: RefCell::default(),
            attribution: attribution.clone(),
        })))
    });
    decided.unwrap_or_else(|denial| {
        HeadersDecision::Reply(Reply { provider, ..refused(denial).attributed(attribution, called) })
    })
}

impl Admitted {
    /// What records call what it asks for.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match &self.call {
            AdmittedCall::Model(operation, _) => operation.name(),
            AdmittedCall::Mcp(_) => mcp_endpoint::NAME,
        }
    }

    /// Decides on the whole body, and once more on the key: it may have been revoked while the
    /// body was on its way. What the request needs of its limits is held for it from here on.
    ///
    /// A request that waits is decided on again and again: `body` is asked for once where it is read, and once
    /// where it must be edited.
    pub fn decide<S: SharedStore>(
        &self,
        body: impl FnOnce() -> Vec<u8>,
        gate: &Gate<'_, S, impl World>,
    ) -> BodyDecision {
        let body = LazyCell::new(body);
        match &self.call {
            AdmittedCall::Model(operation, format) => self.decide_model_call(*operation, format, &body, gate),
            AdmittedCall::Mcp(request) => self.decide_mcp_request(request, &body, gate),
        }
    }

    /// Refuses what had been admitted.
    #[must_use]
    pub fn refuse(&self, denial: &Denial) -> Reply {
        let reply = match &self.call {
            AdmittedCall::Model(operation, _) => denial.reply(operation.shape()),
            AdmittedCall::Mcp(request) => {
                Reply { provider: request.provider().to_owned(), ..denial.rpc_reply(request.id()) }
            }
        };
        reply.attributed(self.attribution.clone(), self.endpoint())
    }

    /// The key and its app: as they were found, if that was just now, or as they are.
    fn current_key<S: SharedStore>(
        &self,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<Cow<'_, ResolvedKey>, Denial> {
        if (0..=FRESH_MS).contains(&now.0.saturating_sub(self.resolved_at.0)) {
            return Ok(Cow::Borrowed(&self.key));
        }
        let (snapshot, record) = look_up(&self.key.record.hash, gate.view)?;
        let app = open(snapshot, &record, gate.view, gate.world)?;
        if !Rc::ptr_eq(&app, &self.key.app) {
            reach(&app, gate.world)?;
        }
        Ok(Cow::Owned(ResolvedKey { snapshot, record, app }))
    }
}

/// Whether Anthropic's beta of interleaved thinking is asked for.
fn thinks_between_calls(headers: Headers<'_>) -> bool {
    headers.all("anthropic-beta").any(|value| memmem::find(value, b"interleaved-thinking").is_some())
}

/// Finds the record of the request's key.
fn authenticate<S: SharedStore>(
    view: &View<S>,
    find: impl FnOnce() -> Result<KeyHash, Denial>,
) -> Result<(Snapshot, KeyRecord), Denial> {
    let snapshot = view.snapshot().ok_or(Code::SnapshotNotReady)?;
    Ok((snapshot, record(snapshot, &find()?, view)?))
}

/// Finds the record again, as it is now.
fn look_up<S: SharedStore>(hash: &KeyHash, view: &View<S>) -> Result<(Snapshot, KeyRecord), Denial> {
    let snapshot = view.snapshot().ok_or(Code::SnapshotNotReady)?;
    Ok((snapshot, record(snapshot, hash, view)?))
}

fn record<S: SharedStore>(snapshot: Snapshot, hash: &KeyHash, view: &View<S>) -> Result<KeyRecord, Denial> {
    view.key(snapshot, hash).ok_or_else(|| {
        Denial::new(Code::InvalidApiKey, "The API key is well-formed, but it is not known here.")
    })
}

/// Decides whether the key opens its app, now and from here.
fn authorize<S: SharedStore>(
    snapshot: Snapshot,
    record: &KeyRecord,
    view: &View<S>,
    world: &impl World,
) -> Result<Rc<AppPolicy>, Denial> {
    let app = open(snapshot, record, view, world)?;
    reach(&app, world)?;
    Ok(app)
}

/// Decides whether the key opens its app now, from wherever.
fn open<S: SharedStore>(
    snapshot: Snapshot,
    record: &KeyRecord,
    view: &View<S>,
    world: &impl World,
) -> Result<Rc<AppPolicy>, Denial> {
    let past = |moment: Option<UnixMs>| moment.is_some_and(|moment| world.now() >= moment);
    match record.status {
        Status::Active => {}
        Status::Inactive => return Err(Code::KeyInactive.into()),
        Status::Revoked => return Err(Code::KeyRevoked.into()),
        Status::Suspended => return Err(Code::KeySuspended.into()),
    }
    if past(record.expires) {
        return Err(Code::KeyExpired.into());
    }
    if past(record.retires) {
        return Err(Code::KeyRotated.into());
    }
    let app = view.app(snapshot, record.app).ok_or(Code::SnapshotNotReady)?;
    match app.status {
        Status::Active => {}
        Status::Inactive | Status::Suspended => return Err(Code::AppInactive.into()),
        Status::Revoked => return Err(Code::AppRevoked.into()),
    }
    if past(app.expires) {
        return Err(Code::AppExpired.into());
    }
    if app.mode == CredentialMode::Named && record.user.is_none() {
        return Err(Code::NamedKeyRequired.into());
    }
    Ok(app)
}

/// Decides whether the app may be used from here.
fn reach(app: &AppPolicy, world: &impl World) -> Result<(), Denial> {
    let Some(ranges) = &app.addresses else {
        return Ok(());
    };
    let from = world.client_address();
    if from.is_some_and(|address| ranges.iter().any(|range| range.contains(&address))) {
        return Ok(());
    }
    Err(Code::IpNotAllowed.into())
}

#[cfg(test)]
mod tests;

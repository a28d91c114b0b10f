//! Decides a request. First by its headers: endpoint, snapshot, credential, key, app, address, identity. Once
//! the body is there: model and provider, or MCP server and tool; then the limits. The first rule that fails
//! decides.

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
use crate::guardrails::{DetectorCall, DetectorOutcome};
use crate::identity::{SignatureCheck, identify};
use crate::limits::account::{Demand, Patience};
use crate::limits::quota::ReserveAttempt;
use crate::prompts::{UsedPrompts, VariablesHeader};
use crate::request::body::BodyFormat;
use crate::request::endpoint::{ClientApi, Endpoint, ModelOperation, is_oauth, split_query};
use crate::request::header::Headers;
use crate::request::mcp_endpoint::{self, is_mcp_path};
use crate::request::redaction::holds_key;
use crate::request::{conversation, credential};
use crate::snapshot::{AppPolicy, CredentialMode, KeyRecord, Status, UnixMs};
use crate::store::SharedStore;
use crate::upstream::forward::Forward;

/// What the gate asks of the host, and only when a rule needs it.
pub trait World {
    fn now(&self) -> UnixMs;

    /// The client's trusted address.
    fn client_address(&self) -> Option<IpAddr>;

    /// Whether the host finds a signature good; none where it cannot tell.
    fn verify_signature(&self, _check: SignatureCheck<'_>) -> Option<bool> {
        None
    }

    /// Spreads the retries of refused clients; any number where nobody retries.
    fn random(&self) -> u64 {
        0
    }
}

/// A body that is copied from the host when it is first read.
type LazyBody<F> = LazyCell<Vec<u8>, F>;

/// The decision on the headers.
#[derive(Debug)]
pub enum HeadersDecision {
    /// The gateway answers by itself.
    Reply(Reply),
    NeedBody(Box<Admitted>),
}

/// What a decision on the body needs.
#[derive(Debug)]
pub struct Gate<'a, S, W> {
    pub view: &'a View<S>,
    pub world: &'a W,
    /// Whether another request can be recorded.
    pub has_room: bool,
    /// By how long the request has waited.
    pub patience: Patience,
}

impl<S, W: World> Gate<'_, S, W> {
    fn attempt(&self, now: UnixMs) -> ReserveAttempt {
        ReserveAttempt { now, patience: self.patience, random: self.world.random() }
    }
}

/// The decision on the whole request.
#[derive(Debug)]
pub enum BodyDecision {
    /// The gateway answers by itself.
    Reply(Reply),
    /// The provider or the MCP server answers.
    Forward(Box<Forward>),
    /// A lease is used up, or others hold what is left. The request waits for the answer to its demand, or a
    /// moment if the demand is empty, and is then decided on again.
    Wait(Demand),
    /// External detectors are asked. Once all have answered or failed, that is told to [`Admitted::judged`], and
    /// the request is decided on again.
    Ask(Vec<DetectorCall>),
}

/// A request whose key is valid, and whose body is still to come.
#[derive(Debug)]
pub struct Admitted {
    call: AdmittedCall,
    query: String,
    /// Whether the model may think between tool calls, with one budget for the whole turn.
    interleaved_thinking: bool,
    prompt_variables: VariablesHeader,
    /// As the client names it.
    conversation: Option<String>,
    /// The target of a routing group that the client asks for.
    wanted_target: Option<String>,
    /// Those that were put into the body.
    prompts: RefCell<Option<UsedPrompts>>,
    /// The key as it was when the headers came.
    key: ResolvedKey,
    resolved_at: UnixMs,
    /// Kept while the request waits, so that it is parsed once.
    body: RefCell<Option<model::ReadBody>>,
    /// What became of the calls to external detectors, in their order.
    outcomes: RefCell<Vec<DetectorOutcome>>,
    pub attribution: Attribution,
}

/// What the request asks for, by its headers.
#[derive(Debug)]
enum AdmittedCall {
    Model(ModelOperation, BodyFormat),
    Mcp(Box<mcp::McpRequest>),
}

/// A key that may use its app.
#[derive(Clone, Debug)]
struct ResolvedKey {
    snapshot: Snapshot,
    record: KeyRecord,
    app: Rc<AppPolicy>,
}

/// By which a client asks for a target of a routing group.
pub const TARGET_HEADER: &str = "x-latchkey-target";

/// How long a resolved key counts as current. A body mostly comes with its headers, and looking everything up
/// again would double the gate's cost.
const FRESH_MS: i64 = 5;

pub fn admit<S: SharedStore>(headers: Headers<'_>, view: &View<S>, world: &impl World) -> HeadersDecision {
    decide_headers(headers, view, world, || Ok(credential::find(headers)?.hash()))
}

/// Decides on a request with the key of this hash, whatever its headers say.
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
        Ok(resolved) => resolved,
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
            Endpoint::RetrieveModel(api, name) => {
                let model = model_list::retrieve(&view.catalogue(snapshot), &app, api, &name)?;
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
            prompt_variables: VariablesHeader::of(headers),
            conversation: conversation::id(headers).ok().flatten().map(str::to_owned),
            wanted_target: headers.text(TARGET_HEADER).map(str::to_owned),
            prompts: RefCell::default(),
            key,
            resolved_at,
            body: RefCell::default(),
            outcomes: RefCell::default(),
            attribution: attribution.clone(),
        })))
    });
    decided.unwrap_or_else(|denial| {
        HeadersDecision::Reply(Reply { provider, ..refused(denial).attributed(attribution, called) })
    })
}

impl Admitted {
    /// The endpoint's name in records.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match &self.call {
            AdmittedCall::Model(operation, _) => operation.name(),
            AdmittedCall::Mcp(_) => mcp_endpoint::NAME,
        }
    }

    /// Decides on the whole body, and once more on the key, which may have been revoked meanwhile. From here
    /// on the request's units are reserved.
    ///
    /// A waiting request is decided on repeatedly: `body` is called once to read it, and once more to edit it.
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

    /// What became of the calls to external detectors that were asked for last, in their order.
    pub fn judged(&self, outcomes: Vec<DetectorOutcome>) {
        self.outcomes.replace(outcomes);
    }

    /// The stored prompts that were put into the body, once it was decided on; none where there were none.
    #[must_use]
    pub fn take_prompts(&self) -> Option<UsedPrompts> {
        self.prompts.take()
    }

    /// The refusal of an admitted request.
    #[must_use]
    pub fn refuse(&self, denial: &Denial) -> Reply {
        let reply = match &self.call {
            AdmittedCall::Model(operation, _) => denial.reply(operation.client_api()),
            AdmittedCall::Mcp(request) => {
                Reply { provider: request.provider().to_owned(), ..denial.rpc_reply(request.id()) }
            }
        };
        reply.attributed(self.attribution.clone(), self.endpoint())
    }

    /// The refusal of a request that has waited in vain, with what is known of it by then.
    #[must_use]
    pub fn refuse_waiting(&self, denial: &Denial) -> Reply {
        let (model, report) = match &self.call {
            AdmittedCall::Model(..) => match &*self.body.borrow() {
                Some(read) => (read.model().to_owned(), read.report()),
                None => (String::new(), None),
            },
            AdmittedCall::Mcp(request) => (request.called_tool(), request.report()),
        };
        Reply { model, ..self.refuse(denial) }.inspected(report)
    }

    /// The key and its app: as resolved before, if that was just now, or looked up again.
    fn current_key<S: SharedStore>(
        &self,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<Cow<'_, ResolvedKey>, Denial> {
        if (0..=FRESH_MS).contains(&now.0.saturating_sub(self.resolved_at.0)) {
            return Ok(Cow::Borrowed(&self.key));
        }
        let (snapshot, record) = authenticate(gate.view, || Ok(self.key.record.hash))?;
        let app = check_key(snapshot, &record, gate.view, gate.world)?;
        if !Rc::ptr_eq(&app, &self.key.app) {
            check_address(&app, gate.world)?;
        }
        Ok(Cow::Owned(ResolvedKey { snapshot, record, app }))
    }
}

/// Whether the client asks for Anthropic's beta of interleaved thinking.
fn thinks_between_calls(headers: Headers<'_>) -> bool {
    headers.all("anthropic-beta").any(|value| memmem::find(value, b"interleaved-thinking").is_some())
}

/// Looks up the request's key.
fn authenticate<S: SharedStore>(
    view: &View<S>,
    find: impl FnOnce() -> Result<KeyHash, Denial>,
) -> Result<(Snapshot, KeyRecord), Denial> {
    let snapshot = view.snapshot().ok_or(Code::SnapshotNotReady)?;
    Ok((snapshot, record(snapshot, &find()?, view)?))
}

fn record<S: SharedStore>(snapshot: Snapshot, hash: &KeyHash, view: &View<S>) -> Result<KeyRecord, Denial> {
    view.key(snapshot, hash)
        .ok_or_else(|| Denial::new(Code::InvalidApiKey, "The API key is well-formed, but unknown."))
}

/// Whether the key may use its app, now and from the client's address.
fn authorize<S: SharedStore>(
    snapshot: Snapshot,
    record: &KeyRecord,
    view: &View<S>,
    world: &impl World,
) -> Result<Rc<AppPolicy>, Denial> {
    let app = check_key(snapshot, record, view, world)?;
    check_address(&app, world)?;
    Ok(app)
}

/// Whether the key may use its app now, from any address.
fn check_key<S: SharedStore>(
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

/// Whether the app may be used from the client's address.
fn check_address(app: &AppPolicy, world: &impl World) -> Result<(), Denial> {
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

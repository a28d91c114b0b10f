//! Decides a request to an MCP server, once its body is there.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use serde_json::value::RawValue;

use super::{Admitted, BodyDecision, Gate, LazyBody, ResolvedKey, World};
use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::discovery::view::View;
use crate::guardrails::{
    Blocked, InspectedContent, InspectedRequest, Inspection, InspectionReport, JudgementStep,
};
use crate::limits::quota::{self, Allowance, OrWait};
use crate::mcp::{
    self, McpAction, McpMessage, McpRelay, RepeatedHeaders, SessionBinding, ToolCall, ToolFilter,
};
use crate::request::body;
use crate::request::header::Headers;
use crate::request::mcp_endpoint::McpTarget;
use crate::snapshot::{AppPolicy, KeyRecord, McpServer, UnixMs};
use crate::store::SharedStore;
use crate::upstream::call::{McpCall, UpstreamCall};
use crate::upstream::forward::Forward;

/// What the headers say of a request to an MCP server.
#[derive(Debug)]
pub(super) struct McpRequest {
    target: McpTarget,
    repeated_headers: RepeatedHeaders,
    /// The server's name in records; empty where there is no such server.
    provider: String,
    /// The values of the session header.
    sessions: Vec<Vec<u8>>,
    /// Whether the body is UTF-8 and not encoded.
    is_plain: bool,
    /// Set once the body is there; none where the request has no message.
    read: OnceCell<Result<Option<McpMessage>, Denial>>,
    /// What guardrails made of the message, kept while the request waits.
    inspected: RefCell<Option<InspectedRequest>>,
}

impl McpRequest {
    pub(super) fn new(target: McpTarget, provider: String, headers: Headers<'_>) -> Self {
        Self {
            target,
            provider,
            repeated_headers: RepeatedHeaders::of(headers),
            sessions: headers.all(mcp::SESSION_HEADER).map(<[u8]>::to_vec).collect(),
            is_plain: body::is_plain(headers),
            read: OnceCell::new(),
            inspected: RefCell::default(),
        }
    }

    /// The server's name in records.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// The JSON-RPC id, where it is known.
    pub(super) fn id(&self) -> Option<&RawValue> {
        self.read.get()?.as_ref().ok()?.as_ref()?.id.as_deref()
    }

    /// What guardrails found in the message, while the request waits.
    pub(super) fn report(&self) -> Option<Box<InspectionReport>> {
        self.inspected.borrow().as_ref().map(|inspected| inspected.inspection.report().clone().into())
    }

    /// The called tool's name in records, once the message is read.
    pub(super) fn called_tool(&self) -> String {
        self.tool(self.read.get().and_then(|read| read.as_ref().ok()?.as_ref()))
    }

    /// The server's own id of the session.
    fn session(&self, binding: &SessionBinding) -> Result<Option<String>, Denial> {
        match &*self.sessions {
            [] => Ok(None),
            [session] => binding.open(session).map(Some).ok_or_else(|| Code::McpSessionNotFound.into()),
            _ => Err(Denial::new(Code::InvalidMcpMessage, "The request has more than one `Mcp-Session-Id`.")),
        }
    }

    /// Has the app's guardrails look at the message, once; none where the app has none.
    fn inspect<S: SharedStore>(
        &self,
        message: Option<&McpMessage>,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        app: &Rc<AppPolicy>,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<Option<InspectedRequest>, Blocked> {
        let kept = self.inspected.take().filter(|inspected| inspected.inspection.is_by(app));
        if kept.is_some() || !app.inspects(now) {
            return Ok(kept);
        }
        // A GET has no message, and its stream may have.
        let body = message.map_or(&[][..], |_| bytes);
        Inspection::of_request(app, gate.view.scanner(), InspectedContent::Mcp, body, now).map(Some)
    }

    /// The called tool's name in records: `server/tool`, or nothing.
    fn tool(&self, message: Option<&McpMessage>) -> String {
        match message.and_then(McpMessage::called_tool) {
            Some(tool) => [&self.target.server, "/", tool].concat(),
            None => String::new(),
        }
    }
}

impl Admitted {
    pub(super) fn decide_mcp_request<S: SharedStore>(
        &self,
        request: &McpRequest,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        gate: &Gate<'_, S, impl World>,
    ) -> BodyDecision {
        let now = gate.world.now();
        let read = request.read.get_or_init(|| McpMessage::of_request(request.target.verb, bytes));
        let message = read.as_ref().ok().and_then(Option::as_ref);
        let key = self.current_key(now, gate);
        let reserved = key
            .map_err(Blocked::from)
            .and_then(|key| self.reserve_mcp_request(request, read, bytes, &key, now, gate));
        match reserved {
            Ok(decision) => decision,
            Err(Blocked { denial, report: inspection }) => {
                let refusal = Reply { model: request.tool(message), ..self.refuse(&denial) };
                BodyDecision::Reply(refusal.inspected(inspection))
            }
        }
    }

    fn reserve_mcp_request<S: SharedStore>(
        &self,
        request: &McpRequest,
        read: &Result<Option<McpMessage>, Denial>,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        ResolvedKey { snapshot, record, app }: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<BodyDecision, Blocked> {
        let catalogue = gate.view.catalogue(*snapshot);
        let server = catalogue
            .mcp_server(&request.target.server)
            .ok_or_else(|| Denial::from(Code::McpServerNotFound))?;
        if !app.allows_mcp_server(&server.name) {
            return Err(Denial::from(Code::McpServerNotAllowed).into());
        }
        let message = read.as_ref().map_err(Clone::clone)?.as_ref();
        if !request.is_plain {
            return Err(Denial::new(Code::InvalidMcpMessage, body::ENCODED).into());
        }
        request.repeated_headers.check(message)?;
        if let Some(message) = message {
            check_allowed(message, server, app)?;
            check_tool(message, server, app, gate.view)?;
        }
        let binding = SessionBinding::new(record.key, &server.name, &server.session_key);
        let session = request.session(&binding)?;
        if app.inspects(now) && request.inspected.borrow().is_none() {
            check_requests(app, record, now, gate)?;
        }
        let mut inspected = request.inspect(message, bytes, app, now, gate)?;
        if let Some(judged) = &mut inspected {
            let body = || message.map_or(&[][..], |_| bytes);
            let catalogue = || gate.view.catalogue(*snapshot);
            let step = judged.judge(self.outcomes.take(), InspectedContent::Mcp, body, catalogue)?;
            if let JudgementStep::Ask(calls) = step {
                request.inspected.replace(inspected);
                return Ok(BodyDecision::Ask(calls));
            }
        }
        let report = || inspected.as_ref().map(|inspected| inspected.inspection.report().clone().into());
        if let Some(edited) = inspected.as_ref().and_then(|inspected| inspected.body.as_deref()) {
            let checked = check_edited(edited, server, app);
            checked.map_err(|denial| Blocked { denial, report: report() })?;
        }
        let reserved = reserve(app, record, now, gate);
        let allowance = match reserved.map_err(|denial| Blocked { denial, report: report() })? {
            Some(OrWait::Wait(demand)) => {
                request.inspected.replace(inspected);
                return Ok(BodyDecision::Wait(demand));
            }
            Some(OrWait::Ready(allowance)) => Some(allowance),
            None => None,
        };
        let (reservation, response_headers, refill) = match allowance {
            Some(Allowance { reservation, standings, refill, .. }) => {
                (Some(reservation), quota::rate_limit_headers(&standings, now), refill)
            }
            None => (None, Vec::new(), None),
        };
        let (body, inspection) = match inspected {
            Some(InspectedRequest { body, inspection, .. }) => (body, Some(inspection)),
            None => (None, None),
        };
        let inspection_header = inspection.as_ref().and_then(|inspection| inspection.report().header());
        let response_headers = response_headers.into_iter().chain(inspection_header).collect();
        let path = [&server.path, &*self.query].concat();
        let tools = tool_filter(message, server, app);
        let relay = Some(Box::new(McpRelay { binding, tools }));
        let tool = request.tool(message);
        let called = message.and_then(McpMessage::called_tool);
        let has_argument_rules =
            called.is_some_and(|tool| app.mcp_arguments.are_about_tool(&server.name, tool));
        let call = UpstreamCall::Mcp(McpCall {
            server: Rc::clone(server),
            tool,
            id: message.and_then(|message| message.id.clone()),
            has_argument_rules,
            reservation,
        });
        Ok(BodyDecision::Forward(Box::new(Forward {
            path,
            is_json: message.is_some(),
            body,
            call,
            response_headers,
            refill,
            relay,
            session,
            inspection,
        })))
    }
}

/// Refuses a request that a limit refuses in any case, before guardrails look at it.
fn check_requests<S: SharedStore>(
    app: &AppPolicy,
    key: &KeyRecord,
    now: UnixMs,
    gate: &Gate<'_, S, impl World>,
) -> Result<(), Denial> {
    let limits = quota::request_limits(app, key);
    if limits.is_empty() {
        return Ok(());
    }
    if !gate.has_room {
        return Err(Code::LedgerFull.into());
    }
    quota::check_requests(gate.view.store(), &limits, app, gate.attempt(now))
}

/// Reserves one request; none where nothing limits requests.
fn reserve<S: SharedStore>(
    app: &AppPolicy,
    key: &KeyRecord,
    now: UnixMs,
    gate: &Gate<'_, S, impl World>,
) -> Result<Option<OrWait<Allowance>>, Denial> {
    let limits = quota::request_limits(app, key);
    if limits.is_empty() {
        return Ok(None);
    }
    if !gate.has_room {
        return Err(Code::LedgerFull.into());
    }
    quota::reserve_request(gate.view.store(), &limits, app, gate.attempt(now)).map(Some)
}

/// Whether the app may send this message to a server that it may use.
fn check_allowed(message: &McpMessage, server: &McpServer, app: &AppPolicy) -> Result<(), Denial> {
    if !app.restricts_mcp_tools(&server.name) {
        return Ok(());
    }
    let message_text = match (message.called_tool(), message.method.as_deref()) {
        (Some(tool), _) if !app.allows_mcp_tool(&server.name, tool) => {
            format!("The app is not allowed to use the tool `{tool}` of this MCP server.")
        }
        (_, Some(method)) if !message.is_open_to_partial_access() => format!(
            "The app is allowed to use only some tools of this MCP server, and not its resources, prompts, \
             or tasks: it cannot call `{method}`."
        ),
        _ => return Ok(()),
    };
    Err(Denial::new(Code::McpToolNotAllowed, message_text))
}

/// Whether the called tool is as it was approved, and its arguments are as the app's rules say.
fn check_tool<S: SharedStore>(
    message: &McpMessage,
    server: &McpServer,
    app: &AppPolicy,
    view: &View<S>,
) -> Result<(), Denial> {
    let pins = server.pins.as_ref();
    let McpAction::CallTool(ToolCall { tool, arguments }) = &message.action else {
        let method = message.method.as_deref().filter(|_| message.is_unknown_of_tools());
        let Some(method) = method.filter(|_| pins.is_some() || app.mcp_arguments.are_about(&server.name))
        else {
            return Ok(());
        };
        let text = format!("The gateway does not know what `{method}` does with the MCP server's tools.");
        return Err(Denial::new(Code::McpToolNotAllowed, text));
    };
    if let Some(pins) = pins {
        let Some(pin) = pins.get(tool) else {
            let what = match pins.trusts_first_use {
                true => {
                    "The gateway trusts a tool once it has seen it in the server's list: list the tools, \
                     then call it a moment later. A tool that an admin rejected stays blocked."
                }
                false => "An admin must approve it first.",
            };
            let text = format!("The tool `{tool}` of this MCP server is not approved. {what}");
            return Err(Denial::new(Code::McpToolNotApproved, text));
        };
        if pin.is_changed || view.sightings().have_changed(&server.name, tool, pin) {
            let text = format!(
                "The definition of the tool `{tool}` has changed since it was approved: an admin must \
                 review and approve the change."
            );
            return Err(Denial::new(Code::McpToolChanged, text));
        }
    }
    app.mcp_arguments.check(&server.name, tool, arguments.as_deref())
}

/// Whether the arguments are as the app's rules say once guardrails have edited them.
fn check_edited(body: &[u8], server: &McpServer, app: &AppPolicy) -> Result<(), Denial> {
    match McpMessage::read(body)?.action {
        McpAction::CallTool(ToolCall { tool, arguments }) => {
            app.mcp_arguments.check(&server.name, &tool, arguments.as_deref())
        }
        McpAction::ListTools | McpAction::Other => Ok(()),
    }
}

/// The filter of the answer's tools, where some may not be used.
fn tool_filter(
    message: Option<&McpMessage>,
    server: &Rc<McpServer>,
    app: &Rc<AppPolicy>,
) -> Option<ToolFilter> {
    let id = message.filter(|message| message.method.is_some()).and_then(|message| message.id.clone());
    let is_partial = app.restricts_mcp_tools(&server.name) || server.pins.is_some();
    is_partial.then(|| ToolFilter::new(Rc::clone(app), Rc::clone(server), id))
}

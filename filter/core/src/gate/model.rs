//! Decides a model call, once its body is there.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Admitted, BodyDecision, Gate, LazyBody, ResolvedKey, World};
use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::guardrails::{
    Blocked, DetectorCall, InspectedContent, InspectedRequest, Inspection, InspectionReport, JudgementStep,
};
use crate::limits::account;
use crate::limits::quota::{self, Allowance, OrWait, ReservationPlan};
use crate::prompts::{self, ExpandedRequest};
use crate::request::body::{BodyFormat, JsonObject, RequestBody, UnreadObject};
use crate::request::endpoint::ModelOperation;
use crate::routing::cooldown::{self, Cooldowns};
use crate::routing::{self, Choice, Service};
use crate::snapshot::{AppPolicy, Offer, RoutingGroup, RoutingTarget, UnixMs};
use crate::store::SharedStore;
use crate::upstream::attempts::{AttemptPlan, Attempts, SharedAttempts};
use crate::upstream::call::{ModelCall, UpstreamCall};
use crate::upstream::forward::Forward;
use crate::upstream::provider_body::provider_body;

/// A body that was read.
#[derive(Debug)]
pub(super) struct ReadBody {
    body: Rc<RequestBody>,
    /// None until stored prompts have been put into it, and where the app has none.
    expanded: Option<ExpandedRequest>,
    /// None until guardrails have looked at it, and where the app has none.
    inspected: Option<InspectedRequest>,
}

impl ReadBody {
    /// Whether it was read under this policy.
    fn is_by(&self, app: &Rc<AppPolicy>) -> bool {
        self.expanded.as_ref().is_none_or(|expanded| expanded.is_by(app))
            && self.inspected.as_ref().is_none_or(|inspected| inspected.inspection.is_by(app))
    }

    /// What replaces the client's body.
    fn edited(&self) -> Option<&[u8]> {
        let inspected = self.inspected.as_ref().and_then(|inspected| inspected.body.as_deref());
        inspected.or_else(|| self.expanded.as_ref().and_then(|expanded| expanded.body.as_deref()))
    }

    /// The model that it names.
    pub(super) fn model(&self) -> &str {
        &self.body.model
    }

    pub(super) fn report(&self) -> Option<Box<InspectionReport>> {
        self.inspected.as_ref().map(|inspected| inspected.inspection.report().clone().into())
    }
}

/// A model call that may be sent.
struct ReadyCall {
    offer: Offer,
    edited_body: Option<Vec<u8>>,
    allowance: Allowance,
    is_limited: bool,
    /// Of a routing group.
    attempts: Option<SharedAttempts>,
}

impl ReadyCall {
    fn forward(self, operation: ModelOperation, query: &str, read: ReadBody, now: UnixMs) -> Forward {
        let ReadBody { body, inspected, expanded: _ } = read;
        // Only a group's tries still need it.
        let body = Rc::unwrap_or_clone(body);
        let is_json = body.is_json();
        let inspection = inspected.map(|inspected| inspected.inspection);
        let inspection_header = inspection.as_ref().and_then(|inspection| inspection.report().header());
        let Self { offer, edited_body, allowance, is_limited, attempts } = self;
        let Allowance { reservation, output_cut, refill, standings, max_output: _ } = allowance;
        let path = Forward::path(&offer.provider, operation, query);
        let call = UpstreamCall::Model(ModelCall {
            operation,
            model: body.model,
            served_model: offer.upstream_name,
            provider: offer.provider,
            price: offer.price,
            context_window: offer.context_window,
            bounds: body.bounds,
            reservation: is_limited.then_some(reservation),
            output_cut,
            attempts,
        });
        let response_headers = quota::rate_limit_headers(&standings, now);
        let response_headers = response_headers
            .into_iter()
            .chain(quota::output_cut_headers(output_cut))
            .chain(inspection_header)
            .collect();
        Forward {
            path,
            is_json,
            body: edited_body,
            call,
            response_headers,
            refill,
            relay: None,
            session: None,
            inspection,
        }
    }
}

impl Admitted {
    pub(super) fn decide_model_call<S: SharedStore>(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        gate: &Gate<'_, S, impl World>,
    ) -> BodyDecision {
        let now = gate.world.now();
        let key = match self.current_key(now, gate) {
            Ok(key) => key,
            Err(denial) => return BodyDecision::Reply(self.refuse(&denial)),
        };
        let kept = self.body.take().filter(|read| read.is_by(&key.app));
        let read = match kept.map_or_else(|| self.read(operation, format, bytes), Ok) {
            Ok(read) => read,
            Err(denial) => return BodyDecision::Reply(self.refuse(&denial)),
        };
        let refused = |denial: Denial, read: ReadBody, inspection| {
            let refusal = Reply { model: read.body.model.clone(), ..self.refuse(&denial) };
            BodyDecision::Reply(refusal.inspected(inspection))
        };
        let mut read = read;
        if let Err(denial) = self.check_requests(operation, &read, &key, now, gate) {
            return refused(denial, read, None);
        }
        if let Err(denial) = self.expand(operation, format, bytes, &mut read, &key, gate) {
            return refused(denial, read, None);
        }
        if let Err(Blocked { denial, report }) = self.inspect(operation, format, bytes, &mut read, &key, gate)
        {
            return refused(denial, read, report);
        }
        match self.judge(operation, format, bytes, &mut read, &key, gate) {
            Ok(None) => {}
            Ok(Some(calls)) => {
                self.body.replace(Some(read));
                return BodyDecision::Ask(calls);
            }
            Err(Blocked { denial, report }) => return refused(denial, read, report),
        }
        match self.reserve_model_call(operation, bytes, &read, &key, now, gate) {
            Ok(OrWait::Ready(call)) => {
                BodyDecision::Forward(Box::new(call.forward(operation, &self.query, read, now)))
            }
            Ok(OrWait::Wait(demand)) => {
                self.body.replace(Some(read));
                BodyDecision::Wait(demand)
            }
            Err(denial) => {
                let report = read.report();
                refused(denial, read, report)
            }
        }
    }

    fn read(&self, operation: ModelOperation, format: &BodyFormat, bytes: &[u8]) -> Result<ReadBody, Denial> {
        let body = format.read(operation, bytes)?;
        let body = if self.interleaved_thinking { body.interleaved() } else { body };
        Ok(ReadBody { body: Rc::new(body), expanded: None, inspected: None })
    }

    /// Refuses a request that a limit of requests refuses in any case, before prompts are put in and guardrails
    /// look at it: both cost more than the look.
    fn check_requests<S: SharedStore>(
        &self,
        operation: ModelOperation,
        ReadBody { body, expanded, inspected }: &ReadBody,
        ResolvedKey { snapshot, record, app }: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<(), Denial> {
        let is_due = app.inspects(now) && inspected.is_none() || app.prompts.is_some() && expanded.is_none();
        if !is_due {
            return Ok(());
        }
        let subjects = quota::subjects(app, record);
        if subjects.is_empty() {
            return Ok(());
        }
        let catalogue = gate.view.catalogue(*snapshot);
        let service = routing::service(&catalogue, app, &body.model, operation)?;
        if !gate.has_room {
            return Err(Code::LedgerFull.into());
        }
        // What is put in may change what it needs, but for the request itself.
        let plan = match service {
            Service::Model(offer) => ReservationPlan::new(&subjects, operation, &body.bounds, offer).ok(),
            Service::Group(_) => None,
        };
        let plan = plan.unwrap_or(ReservationPlan::of_requests());
        plan.check_requests(gate.view.store(), &subjects, app, gate.attempt(now))
    }

    /// Puts the app's stored prompts in the place of references, once. The body is then read anew.
    fn expand<S: SharedStore>(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        read: &mut ReadBody,
        ResolvedKey { snapshot, app, .. }: &ResolvedKey,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<(), Denial> {
        let Some(stored) = app.prompts.as_ref().filter(|_| read.expanded.is_none()) else {
            return Ok(());
        };
        routing::service(&gate.view.catalogue(*snapshot), app, &read.body.model, operation)?;
        let mut expanded = prompts::expand(app, stored, operation, format, bytes, &self.prompt_variables)?;
        self.prompts.replace(expanded.prompts.take());
        if let Some(edited) = &expanded.body {
            *read = self.read(operation, format, edited)?;
        }
        read.expanded = Some(expanded);
        Ok(())
    }

    /// Has the app's guardrails look at the body, once. What they put into it is read anew.
    fn inspect<S: SharedStore>(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        read: &mut ReadBody,
        ResolvedKey { snapshot, app, .. }: &ResolvedKey,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<(), Blocked> {
        let now = gate.world.now();
        if !app.inspects(now) || read.inspected.is_some() {
            return Ok(());
        }
        // What may not be called need not be read.
        routing::service(&gate.view.catalogue(*snapshot), app, &read.body.model, operation)?;
        let content = InspectedContent::Model(operation, format);
        let body = read.edited().unwrap_or_else(|| bytes.as_slice());
        let inspected = Inspection::of_request(app, gate.view.scanner(), content, body, now)?;
        if let Some(edited) = &inspected.body {
            let expanded = read.expanded.take();
            *read = ReadBody { expanded, ..self.read(operation, format, edited)? };
        }
        read.inspected = Some(inspected);
        Ok(())
    }

    /// The calls to external detectors that are to be made first; none where there are none any more. What
    /// follows from their answers is put into the body, which is then read anew.
    fn judge<S: SharedStore>(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        read: &mut ReadBody,
        ResolvedKey { snapshot, .. }: &ResolvedKey,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<Option<Vec<DetectorCall>>, Blocked> {
        let ReadBody { expanded, inspected: Some(inspected), .. } = read else { return Ok(None) };
        let body = expanded.as_ref().and_then(|expanded| expanded.body.as_deref());
        let body = || body.unwrap_or_else(|| bytes.as_slice());
        let content = InspectedContent::Model(operation, format);
        let catalogue = || gate.view.catalogue(*snapshot);
        match inspected.judge(self.outcomes.take(), content, body, catalogue)? {
            JudgementStep::Done => Ok(None),
            JudgementStep::Ask(calls) => Ok(Some(calls)),
            JudgementStep::Edited => {
                let edited = inspected.body.as_deref().unwrap_or_else(|| bytes.as_slice());
                read.body = self.read(operation, format, edited)?.body;
                Ok(None)
            }
        }
    }

    fn reserve_model_call<S: SharedStore>(
        &self,
        operation: ModelOperation,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        read: &ReadBody,
        key: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<OrWait<ReadyCall>, Denial> {
        let ResolvedKey { snapshot, record, app } = key;
        let ReadBody { body, .. } = read;
        let edited = read.edited();
        let store = gate.view.store();
        let catalogue = gate.view.catalogue(*snapshot);
        let offer = match routing::service(&catalogue, app, &body.model, operation)? {
            Service::Model(offer) => offer,
            Service::Group(group) => {
                return self.reserve_group_call(operation, group, bytes, read, key, now, gate);
            }
        };
        let subjects = quota::subjects(app, record);
        if !subjects.is_empty() && !gate.has_room {
            return Err(Code::LedgerFull.into());
        }
        let plan = ReservationPlan::new(&subjects, operation, &body.bounds, offer)?;
        let allowance = match plan.reserve(store, &subjects, app, gate.attempt(now))? {
            OrWait::Wait(demand) => return Ok(OrWait::Wait(demand)),
            OrWait::Ready(allowance) => allowance,
        };
        let bytes = || edited.unwrap_or_else(|| bytes.as_slice());
        match provider_body(operation, bytes, body, offer, allowance.max_output) {
            Ok(edited_body) => {
                let edited_body = edited_body.or_else(|| edited.map(<[u8]>::to_vec));
                let is_limited = !subjects.is_empty();
                let (offer, attempts) = (offer.clone(), None);
                Ok(OrWait::Ready(ReadyCall { offer, edited_body, allowance, is_limited, attempts }))
            }
            Err(denial) => {
                account::cancel(store, allowance.reservation);
                Err(denial)
            }
        }
    }

    /// For a routing group: what the dearest of the targets that may be tried needs, and the input of each try that
    /// may be billed without an answer. Where that cannot be had, the first target alone.
    #[expect(clippy::too_many_arguments, reason = "as the one for a model")]
    fn reserve_group_call<S: SharedStore>(
        &self,
        operation: ModelOperation,
        group: &Rc<RoutingGroup>,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        read: &ReadBody,
        ResolvedKey { record, app, .. }: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<OrWait<ReadyCall>, Denial> {
        let ReadBody { body, .. } = read;
        let store = gate.view.store();
        let subjects = quota::subjects(app, record);
        if !subjects.is_empty() && !gate.has_room {
            return Err(Code::LedgerFull.into());
        }
        let sent = || read.edited().unwrap_or_else(|| bytes.as_slice());
        let cooldowns = Cooldowns::read(store);
        let conversation = match group.sticky {
            true => self.conversation_of(sent()).unwrap_or_else(|| record.key.to_string()),
            false => String::new(),
        };
        let choice = Choice {
            conversation: &conversation,
            random: gate.world.random(),
            cooldowns: &cooldowns,
            shares: gate.view.shares(),
            wanted: self.wanted_target.as_deref().filter(|_| app.target_header),
            now,
        };
        let targets = routing::targets(group, app, operation, body.bounds.input_estimate, &choice)?;
        let may_repeat = group.failover.repeats_side_effects || !has_side_effects(operation, sent());
        let most = if may_repeat { group.failover.max_attempts } else { 1 };
        let mut planned = Vec::with_capacity(targets.len());
        let mut refusal = None;
        for target in targets {
            match ReservationPlan::new(&subjects, operation, &body.bounds, &target.offer) {
                Ok(plan) => planned.push((target, plan)),
                Err(denial) => refusal = refusal.or(Some(denial)),
            }
        }
        planned.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let (mut targets, plans): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
        let Some((first, all)) = plans.first().zip(ReservationPlan::over(&plans)) else {
            return Err(refusal.unwrap_or_else(|| Code::ModelNotAllowed.into()));
        };
        let is_short = |reserved: &Result<OrWait<Allowance>, Denial>| match reserved {
            Err(_) => true,
            Ok(OrWait::Ready(allowance)) => all.is_cut(allowance),
            // Others hold what there is.
            Ok(OrWait::Wait(demand)) => demand.buckets.is_empty(),
        };
        let mut reserved = all.reserve(store, &subjects, app, gate.attempt(now));
        if plans.len() > 1 && is_short(&reserved) {
            if let Ok(OrWait::Ready(allowance)) = reserved {
                account::cancel(store, allowance.reservation);
            }
            targets.truncate(1);
            reserved = first.reserve(store, &subjects, app, gate.attempt(now));
        }
        let reserved = reserved?;
        let allowance = match reserved {
            OrWait::Wait(demand) => return Ok(OrWait::Wait(demand)),
            OrWait::Ready(allowance) => allowance,
        };
        pass_by_trials(store, &cooldowns, &mut targets, now);
        let Some(target) = targets.first().cloned() else {
            account::cancel(store, allowance.reservation);
            return Err(Code::InternalError.into());
        };
        let expected_tokens = body.bounds.input_estimate;
        gate.view.shares().add(&group.name, &target, expected_tokens, &targets);
        let attempts = Attempts::new(AttemptPlan {
            group: Rc::clone(group),
            targets,
            operation,
            query: self.query.clone(),
            body: Rc::clone(body),
            max_output: allowance.max_output,
            chosen_by: choice.by(group),
            expected_tokens,
        });
        Ok(OrWait::Ready(ReadyCall {
            offer: target.offer.clone(),
            edited_body: read.edited().map(<[u8]>::to_vec),
            allowance,
            is_limited: !subjects.is_empty(),
            attempts: Some(Rc::new(RefCell::new(attempts))),
        }))
    }

    /// What names the conversation of a request: the client's header, or what it names its prompts' cache by.
    fn conversation_of(&self, body: &[u8]) -> Option<String> {
        let by_cache = || {
            let object = JsonObject::read(str::from_utf8(body).ok()?, ["prompt_cache_key"]).ok()?;
            object.string("prompt_cache_key").filter(|key| !key.is_empty())
        };
        self.conversation.clone().or_else(by_cache)
    }
}

/// Puts those last that have rested, and that a request of another worker tries at this moment.
fn pass_by_trials<S: SharedStore>(
    store: &S,
    cooldowns: &Cooldowns,
    targets: &mut [Rc<RoutingTarget>],
    now: UnixMs,
) {
    for _ in 0..targets.len() {
        let Some(first) = targets.first() else { return };
        let has_rested = cooldowns.has_failed(first) && !cooldowns.rests(first, now);
        if !has_rested || cooldown::tries(store, first, now) {
            return;
        }
        targets.rotate_left(1);
    }
}

/// Whether a request leaves something behind at its provider, goes on from something there, or has the provider run
/// tools that may do anything.
fn has_side_effects(operation: ModelOperation, body: &[u8]) -> bool {
    const NAMES: [&str; 6] =
        ["background", "previous_response_id", "conversation", "mcp_servers", "container", "tools"];
    /// Types of tools that the provider runs, and that change something elsewhere.
    const TOOLS: [&str; 4] = ["\"mcp\"", "\"code_interpreter\"", "\"shell\"", "\"computer"];
    if !matches!(operation, ModelOperation::Responses | ModelOperation::Messages) {
        return false;
    }
    let Ok(text) = str::from_utf8(body) else { return true };
    let object = match JsonObject::read(text, NAMES) {
        Ok(object) => object,
        // Some reader may find it set.
        Err(UnreadObject::Ambiguous(_)) => return true,
        Err(UnreadObject::Malformed(..) | UnreadObject::NotAnObject) => return false,
    };
    NAMES.iter().filter_map(|name| Some((*name, object.get(name)?.get()))).any(|(name, value)| match name {
        "tools" => TOOLS.iter().any(|tool| value.contains(tool)),
        _ => !matches!(value, "null" | "false" | "[]"),
    })
}

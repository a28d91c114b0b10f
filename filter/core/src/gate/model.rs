//! Decides a model call, once its body is there.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Admitted, BodyDecision, Gate, LazyBody, ResolvedKey, World};
use crate::answer::denial::{Code, Denial};
use crate::answer::model_list;
use crate::answer::reply::Reply;
use crate::guardrails::{
    Blocked, DetectorCall, InspectedContent, InspectedRequest, Inspection, InspectionReport, JudgementStep,
};
use crate::limits::account;
use crate::limits::quota::{self, Allowance, OrWait, ReservationPlan};
use crate::prompts::{self, ExpandedRequest};
use crate::request::body::{self, BodyEdit, BodyFormat, RequestBody};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{AppPolicy, Offer, UnixMs};
use crate::store::SharedStore;
use crate::upstream::call::{ModelCall, UpstreamCall};
use crate::upstream::forward::Forward;

/// A body that was read.
#[derive(Debug)]
pub(super) struct ReadBody {
    body: RequestBody,
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

    fn report(&self) -> Option<Box<InspectionReport>> {
        self.inspected.as_ref().map(|inspected| inspected.inspection.report().clone().into())
    }
}

/// A model call that may be sent.
struct ReadyCall {
    offer: Offer,
    edited_body: Option<Vec<u8>>,
    allowance: Allowance,
    is_limited: bool,
}

impl ReadyCall {
    fn forward(self, operation: ModelOperation, query: &str, read: ReadBody, now: UnixMs) -> Forward {
        let ReadBody { body, inspected, expanded: _ } = read;
        let is_json = body.is_json();
        let inspection = inspected.map(|inspected| inspected.inspection);
        let inspection_header = inspection.as_ref().map(|inspection| inspection.report().header());
        let Self { offer, edited_body, allowance, is_limited } = self;
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
            let refusal = Reply { model: read.body.model, ..self.refuse(&denial) };
            BodyDecision::Reply(refusal.inspected(inspection))
        };
        let mut read = read;
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
        Ok(ReadBody { body, expanded: None, inspected: None })
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
        model_list::choose(&gate.view.catalogue(*snapshot), app, &read.body.model, operation)?;
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
        if app.guardrails.is_none() || read.inspected.is_some() {
            return Ok(());
        }
        // What may not be called need not be read.
        model_list::choose(&gate.view.catalogue(*snapshot), app, &read.body.model, operation)?;
        let content = InspectedContent::Model(operation, format);
        let body = read.edited().unwrap_or_else(|| bytes.as_slice());
        let now = gate.world.now();
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
        ResolvedKey { snapshot, record, app }: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<OrWait<ReadyCall>, Denial> {
        let ReadBody { body, .. } = read;
        let edited = read.edited();
        let store = gate.view.store();
        let catalogue = gate.view.catalogue(*snapshot);
        let offer = model_list::choose(&catalogue, app, &body.model, operation)?;
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
        match edit(operation, bytes, body, offer, allowance.max_output) {
            Ok(edited_body) => {
                let edited_body = edited_body.or_else(|| edited.map(<[u8]>::to_vec));
                let is_limited = !subjects.is_empty();
                Ok(OrWait::Ready(ReadyCall { offer: offer.clone(), edited_body, allowance, is_limited }))
            }
            Err(denial) => {
                account::cancel(store, allowance.reservation);
                Err(denial)
            }
        }
    }
}

/// The provider's body, where it differs from the client's.
fn edit<'b>(
    operation: ModelOperation,
    bytes: impl FnOnce() -> &'b [u8],
    body: &RequestBody,
    offer: &Offer,
    max_output: Option<u64>,
) -> Result<Option<Vec<u8>>, Denial> {
    let only = offer.output_limit.filter(|_| operation == ModelOperation::ChatCompletions);
    let member = only.or(body::max_output_member(operation, offer.provider.kind));
    let changes = [
        (offer.upstream_name != body.model).then_some(BodyEdit::Model(&offer.upstream_name)),
        max_output.zip(member).map(|(tokens, member)| match only {
            Some(_) => BodyEdit::OnlyMaxOutput { member, tokens },
            None => BodyEdit::MaxOutput { member, tokens },
        }),
        (offer.stream_options && body.bounds.must_ask_for_usage(operation)).then_some(BodyEdit::IncludeUsage),
    ];
    let changes: Vec<_> = changes.into_iter().flatten().collect();
    if changes.is_empty() {
        return Ok(None);
    }
    match body.edit(bytes(), &changes).ok_or(Code::InternalError)? {
        Cow::Borrowed(_) => Ok(None),
        Cow::Owned(edited) => Ok(Some(edited)),
    }
}

//! Decides a model call, once its body is there.

use std::borrow::Cow;

use super::{Admitted, BodyDecision, Gate, LazyBody, ResolvedKey, World};
use crate::answer::denial::{Code, Denial};
use crate::answer::model_list;
use crate::answer::reply::Reply;
use crate::limits::account;
use crate::limits::quota::{self, Allowance, OrWait, ReservationPlan};
use crate::request::body::{self, BodyEdit, BodyFormat, RequestBody};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{Offer, UnixMs};
use crate::store::SharedStore;
use crate::upstream::call::{ModelCall, UpstreamCall};
use crate::upstream::forward::Forward;

/// A model call that may be sent.
struct ReadyCall {
    offer: Offer,
    edited_body: Option<Vec<u8>>,
    allowance: Allowance,
    is_limited: bool,
}

impl ReadyCall {
    fn forward(self, operation: ModelOperation, query: &str, body: RequestBody, now: UnixMs) -> Forward {
        let is_json = body.is_json();
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
        let response_headers =
            response_headers.into_iter().chain(quota::output_cut_headers(output_cut)).collect();
        Forward {
            path,
            is_json,
            body: edited_body,
            call,
            response_headers,
            refill,
            relay: None,
            session: None,
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
        let read = || self.body.take().map_or_else(|| self.read(operation, format, bytes), Ok);
        let read = self.current_key(now, gate).and_then(|key| Ok((key, read()?)));
        let (key, body) = match read {
            Ok(read) => read,
            Err(denial) => return BodyDecision::Reply(self.refuse(&denial)),
        };
        match self.reserve_model_call(operation, bytes, &body, &key, now, gate) {
            Ok(OrWait::Ready(call)) => {
                BodyDecision::Forward(Box::new(call.forward(operation, &self.query, body, now)))
            }
            Ok(OrWait::Wait(demand)) => {
                self.body.replace(Some(body));
                BodyDecision::Wait(demand)
            }
            Err(denial) => BodyDecision::Reply(Reply { model: body.model, ..self.refuse(&denial) }),
        }
    }

    fn read(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &[u8],
    ) -> Result<RequestBody, Denial> {
        let body = format.read(operation, bytes)?;
        Ok(if self.interleaved_thinking { body.interleaved() } else { body })
    }

    fn reserve_model_call<S: SharedStore>(
        &self,
        operation: ModelOperation,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        body: &RequestBody,
        ResolvedKey { snapshot, record, app }: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<OrWait<ReadyCall>, Denial> {
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
        match edit(operation, bytes, body, offer, allowance.max_output) {
            Ok(edited_body) => {
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
fn edit(
    operation: ModelOperation,
    bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
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
    match body.edit(bytes, &changes).ok_or(Code::InternalError)? {
        Cow::Borrowed(_) => Ok(None),
        Cow::Owned(edited) => Ok(Some(edited)),
    }
}

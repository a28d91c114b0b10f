//! A request for a model's answer, once its body is there.

use std::borrow::Cow;

use super::{Admitted, BodyDecision, Gate, LazyBody, ResolvedKey, World};
use crate::answer::denial::{Code, Denial};
use crate::answer::model_list;
use crate::answer::reply::Reply;
use crate::limits::account::{self, Demand};
use crate::limits::quota::{self, Held, ReservationPlan, Taken};
use crate::request::body::{self, BodyEdit, BodyFormat, RequestBody};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{Offer, UnixMs};
use crate::store::Store;
use crate::upstream::call::{ModelCall, UpstreamCall};
use crate::upstream::forward::Forward;

/// What a whole request comes to.
enum Decided {
    Forward(Box<ReadyCall>),
    Wait(Demand),
}

/// A request that may go.
struct ReadyCall {
    offer: Offer,
    edited: Option<Vec<u8>>,
    held: Held,
    is_limited: bool,
}

impl ReadyCall {
    fn forward(self, operation: ModelOperation, query: &str, body: RequestBody, now: UnixMs) -> Forward {
        let is_json = body.is_json();
        let Self { offer, edited, held, is_limited } = self;
        let path = Forward::path(&offer.provider, operation, query);
        let call = UpstreamCall::Model(ModelCall {
            operation,
            model: body.model,
            served_model: offer.upstream_name,
            provider: offer.provider,
            price: offer.price,
            context_window: offer.context_window,
            terms: body.terms,
            reserved: is_limited.then_some(held.reserved),
            cut: held.cut,
        });
        let announced = quota::headers(&held.standings, now);
        let announced = announced.into_iter().chain(quota::cut_headers(held.cut)).collect();
        Forward {
            path,
            is_json,
            body: edited,
            call,
            announced,
            ahead: held.ahead,
            relay: None,
            session: None,
        }
    }
}

impl Admitted {
    pub(super) fn settle_call<S: Store>(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        gate: &Gate<'_, S, impl World>,
    ) -> BodyDecision {
        let now = gate.world.now();
        let read = || self.body.take().map_or_else(|| self.read(operation, format, bytes), Ok);
        let read = self.found(now, gate).and_then(|found| Ok((found, read()?)));
        let (found, body) = match read {
            Ok(read) => read,
            Err(denial) => return self.refuse(&denial),
        };
        match self.decide_call(operation, bytes, &body, &found, now, gate) {
            Ok(Decided::Forward(decided)) => {
                BodyDecision::Forward(Box::new(decided.forward(operation, &self.query, body, now)))
            }
            Ok(Decided::Wait(demand)) => {
                self.body.replace(Some(body));
                BodyDecision::Wait(demand)
            }
            Err(denial) => match self.refuse(&denial) {
                BodyDecision::Reply(reply) => BodyDecision::Reply(Reply { model: body.model, ..reply }),
                outcome => outcome,
            },
        }
    }

    fn read(
        &self,
        operation: ModelOperation,
        format: &BodyFormat,
        bytes: &[u8],
    ) -> Result<RequestBody, Denial> {
        let body = format.read(operation, bytes)?;
        Ok(if self.interleaved { body.interleaved() } else { body })
    }

    fn decide_call<S: Store>(
        &self,
        operation: ModelOperation,
        bytes: &LazyBody<impl FnOnce() -> Vec<u8>>,
        body: &RequestBody,
        ResolvedKey { snapshot, record, app }: &ResolvedKey,
        now: UnixMs,
        gate: &Gate<'_, S, impl World>,
    ) -> Result<Decided, Denial> {
        let store = gate.view.store();
        let catalogue = gate.view.catalogue(*snapshot);
        let offer = model_list::choose(&catalogue, app, &body.model, operation)?;
        let owners = quota::owners(app, record);
        if !owners.is_empty() && !gate.has_room {
            return Err(Code::LedgerFull.into());
        }
        let plan = ReservationPlan::new(&owners, operation, &body.terms, offer)?;
        let held = match plan.take(store, &owners, app, gate.trial(now))? {
            Taken::Dry(demand) => return Ok(Decided::Wait(demand)),
            Taken::Held(held) => *held,
        };
        match edit(operation, bytes, body, offer, held.max_output) {
            Ok(edited) => {
                let is_limited = !owners.is_empty();
                Ok(Decided::Forward(Box::new(ReadyCall { offer: offer.clone(), edited, held, is_limited })))
            }
            Err(denial) => {
                account::cancel(store, held.reserved.reservation);
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
        (offer.stream_options && body.terms.must_ask_for_usage(operation)).then_some(BodyEdit::IncludeUsage),
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

//! A request for a model's answer, once its body is there.

use std::borrow::Cow;

use super::{Admitted, Bytes, Found, Gate, Outcome, World};
use crate::answer::denial::{Code, Denial};
use crate::answer::model_list;
use crate::answer::reply::Reply;
use crate::limits::account::{self, Demand};
use crate::limits::quota::{self, Held, Plan, Taken};
use crate::request::body::{self, Body, Change, Format};
use crate::request::endpoint::Operation;
use crate::snapshot::{Offer, UnixMs};
use crate::store::Store;
use crate::upstream::call::{Call, ModelCall};
use crate::upstream::forward::Forward;

/// What a whole request comes to.
enum Decided {
    Forward(Box<Go>),
    Wait(Demand),
}

/// A request that may go.
struct Go {
    offer: Offer,
    edited: Option<Vec<u8>>,
    held: Held,
    is_limited: bool,
}

impl Go {
    fn forward(self, operation: Operation, query: &str, body: Body, now: UnixMs) -> Forward {
        let is_json = body.is_json();
        let Self { offer, edited, held, is_limited } = self;
        let path = Forward::path(&offer.provider, operation, query);
        let call = Call::Model(ModelCall {
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
        operation: Operation,
        format: &Format,
        bytes: &Bytes<impl FnOnce() -> Vec<u8>>,
        gate: &Gate<'_, S, impl World>,
    ) -> Outcome {
        let now = gate.world.now();
        let read = || self.body.take().map_or_else(|| self.read(operation, format, bytes), Ok);
        let read = self.found(now, gate).and_then(|found| Ok((found, read()?)));
        let (found, body) = match read {
            Ok(read) => read,
            Err(denial) => return self.refuse(&denial),
        };
        match self.decide_call(operation, bytes, &body, &found, now, gate) {
            Ok(Decided::Forward(decided)) => {
                Outcome::Forward(Box::new(decided.forward(operation, &self.query, body, now)))
            }
            Ok(Decided::Wait(demand)) => {
                self.body.replace(Some(body));
                Outcome::Wait(demand)
            }
            Err(denial) => match self.refuse(&denial) {
                Outcome::Reply(reply) => Outcome::Reply(Reply { model: body.model, ..reply }),
                outcome => outcome,
            },
        }
    }

    fn read(&self, operation: Operation, format: &Format, bytes: &[u8]) -> Result<Body, Denial> {
        let body = format.read(operation, bytes)?;
        Ok(if self.interleaved { body.interleaved() } else { body })
    }

    fn decide_call<S: Store>(
        &self,
        operation: Operation,
        bytes: &Bytes<impl FnOnce() -> Vec<u8>>,
        body: &Body,
        Found { snapshot, record, app }: &Found,
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
        let plan = Plan::new(&owners, operation, &body.terms, offer)?;
        let held = match plan.take(store, &owners, app, gate.trial(now))? {
            Taken::Dry(demand) => return Ok(Decided::Wait(demand)),
            Taken::Held(held) => *held,
        };
        match edit(operation, bytes, body, offer, held.max_output) {
            Ok(edited) => {
                let is_limited = !owners.is_empty();
                Ok(Decided::Forward(Box::new(Go { offer: offer.clone(), edited, held, is_limited })))
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
    operation: Operation,
    bytes: &Bytes<impl FnOnce() -> Vec<u8>>,
    body: &Body,
    offer: &Offer,
    max_output: Option<u64>,
) -> Result<Option<Vec<u8>>, Denial> {
    let only = offer.output_limit.filter(|_| operation == Operation::ChatCompletions);
    let member = only.or(body::max_output_member(operation, offer.provider.kind));
    let changes = [
        (offer.upstream_name != body.model).then_some(Change::Model(&offer.upstream_name)),
        max_output.zip(member).map(|(tokens, member)| match only {
            Some(_) => Change::OnlyMaxOutput { member, tokens },
            None => Change::MaxOutput { member, tokens },
        }),
        (offer.stream_options && body.terms.must_ask_for_usage(operation)).then_some(Change::IncludeUsage),
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

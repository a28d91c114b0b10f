//! What becomes of a request: endpoint, snapshot, credential, key, app, address, and once the
//! body is there, model and provider. The first rule that fails decides.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use latchkey_proto::key::{KeyHash, PREFIX};
use memchr::memmem;
use percent_encoding::percent_decode_str;

use crate::credential;
use crate::denial::{Code, Denial};
use crate::endpoint::{Endpoint, Operation, Shape, split_query};
use crate::forward::Forward;
use crate::header::Headers;
use crate::model_field::Format;
use crate::model_list;
use crate::readiness;
use crate::reply::{Attribution, Reply};
use crate::snapshot::{AppPolicy, CredentialMode, KeyRecord, Status, UnixMs};
use crate::store::Store;
use crate::view::{Snapshot, View};

/// What the gate must ask the host. It asks only when a rule needs the answer.
pub trait World {
    /// The time.
    fn now(&self) -> UnixMs;

    /// The trusted address of the client.
    fn client_address(&self) -> Option<IpAddr>;
}

/// What the headers have decided.
#[derive(Debug)]
pub enum Admission {
    /// The gateway answers by itself.
    Reply(Reply),
    /// The body decides.
    NeedBody(Admitted),
}

/// What the body has decided.
#[derive(Debug)]
pub enum Outcome {
    /// The gateway answers by itself.
    Reply(Reply),
    /// The provider answers.
    Forward(Forward),
}

/// A request whose key is good; its body is still to come.
#[derive(Debug)]
pub struct Admitted {
    operation: Operation,
    format: Format,
    query: String,
    key: KeyHash,
    app: Rc<AppPolicy>,
    /// Whose request it is.
    pub attribution: Attribution,
}

/// Decides on a request's headers.
pub fn admit<S: Store>(headers: Headers<'_>, view: &View<S>, world: &impl World) -> Admission {
    let (path, query) = split_query(headers.text(":path").unwrap_or_default());
    let shape = Shape::of(path);
    let endpoint = match Endpoint::parse(headers.text(":method").unwrap_or_default(), path) {
        Ok(Endpoint::Ready) => return Admission::Reply(readiness::answer(view, world)),
        Ok(endpoint) => endpoint,
        Err(denial) => return Admission::Reply(denial.reply(shape)),
    };
    if has_key(query) {
        return Admission::Reply(Denial::from(Code::KeyInQuery).reply(shape));
    }
    let (snapshot, record) = match authenticate(headers, view) {
        Ok(found) => found,
        Err(denial) => return Admission::Reply(denial.reply(shape)),
    };
    let attribution = Attribution::from(&record);
    let decided = authorize(snapshot, &record, view, world).and_then(|app| match endpoint {
        Endpoint::Call(operation) => {
            let format = Format::of(operation, headers)?;
            let query = query.to_owned();
            let key = record.hash;
            Ok(Admission::NeedBody(Admitted { operation, format, query, key, app, attribution }))
        }
        Endpoint::RetrieveModel(name) => {
            let model = model_list::retrieve(&view.catalogue(snapshot), &app, &name)?;
            Ok(Admission::Reply(model.attributed(attribution)))
        }
        Endpoint::ListModels | Endpoint::Ready => {
            let list = model_list::list(&view.catalogue(snapshot), &app);
            Ok(Admission::Reply(list.attributed(attribution)))
        }
    });
    decided.unwrap_or_else(|denial| Admission::Reply(denial.reply(shape).attributed(attribution)))
}

impl Admitted {
    /// Decides on the whole body, and once more on the key: it may have been revoked while the
    /// body was on its way.
    pub fn settle<S: Store>(&self, body: &[u8], view: &View<S>, world: &impl World) -> Outcome {
        match self.forward(body, view, world) {
            Ok(forward) => Outcome::Forward(forward),
            Err(denial) => self.refuse(&denial),
        }
    }

    /// Refuses what had been admitted.
    #[must_use]
    pub fn refuse(&self, denial: &Denial) -> Outcome {
        Outcome::Reply(denial.reply(self.operation.shape()).attributed(self.attribution))
    }

    fn forward<S: Store>(&self, body: &[u8], view: &View<S>, world: &impl World) -> Result<Forward, Denial> {
        let (snapshot, record) = look_up(&self.key, view)?;
        let app = open(snapshot, &record, view, world)?;
        if !Rc::ptr_eq(&app, &self.app) {
            reach(&app, world)?;
        }
        let field = self.format.find(body)?;
        let catalogue = view.catalogue(snapshot);
        let offer = model_list::choose(&catalogue, &app, &field.name, self.operation)?;
        let body = if offer.upstream_name == field.name {
            None
        } else {
            let replaced = self.format.replace(body, &field, &offer.upstream_name);
            Some(replaced.ok_or(Code::InternalError)?)
        };
        Ok(Forward::new(Rc::clone(&offer.provider), self.operation, &self.query, field.name, body))
    }
}

/// Finds the record of the request's key.
fn authenticate<S: Store>(headers: Headers<'_>, view: &View<S>) -> Result<(Snapshot, KeyRecord), Denial> {
    let snapshot = view.snapshot().ok_or(Code::SnapshotNotReady)?;
    let key = credential::find(headers)?;
    Ok((snapshot, record(snapshot, &key.hash(), view)?))
}

/// Finds the record again, as it is now.
fn look_up<S: Store>(hash: &KeyHash, view: &View<S>) -> Result<(Snapshot, KeyRecord), Denial> {
    let snapshot = view.snapshot().ok_or(Code::SnapshotNotReady)?;
    Ok((snapshot, record(snapshot, hash, view)?))
}

fn record<S: Store>(snapshot: Snapshot, hash: &KeyHash, view: &View<S>) -> Result<KeyRecord, Denial> {
    view.key(snapshot, hash).ok_or_else(|| {
        Denial::new(Code::InvalidApiKey, "The API key is well-formed, but it is not known here.")
    })
}

/// Whether a query holds one of our keys, percent-encoded or not.
fn has_key(query: &str) -> bool {
    !query.is_empty() && memmem::find(&Cow::from(percent_decode_str(query)), PREFIX.as_bytes()).is_some()
}

/// Decides whether the key opens its app, now and from here.
fn authorize<S: Store>(
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
fn open<S: Store>(
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
        Status::Inactive => return Err(Code::AppInactive.into()),
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
#[path = "gate/tests.rs"]
mod tests;

//! What is made once though it is asked for twice: with the same `Idempotency-Key` and the same body, the
//! first answer is given again for a day.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_service::action::Refusal;
use latchkey_store::Tx;
use latchkey_store::fault::is_unique_violation;
use latchkey_store::idempotency::StoredAnswer;
use latchkey_store::seal::Purpose;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::auth::AnyActor;
use super::body;
use super::problem::Problem;

const LONGEST_KEY: usize = 255;

/// What to make, and whether it may have been asked for before.
#[derive(Clone, Debug)]
pub struct Creation<B> {
    /// The body, which says what to make.
    pub new: B,
    once: Option<IdempotentRequest>,
}

#[derive(Clone, Debug)]
struct IdempotentRequest {
    actor: String,
    key: String,
    fingerprint: Vec<u8>,
}

/// What was answered to a creation, now or when it was first asked for. It cannot be printed: it may have a
/// key's value.
#[derive(Clone)]
pub struct Answered<T> {
    status: StatusCode,
    body: AnswerBody<T>,
    replayed: bool,
}

#[derive(Clone)]
enum AnswerBody<T> {
    Made(T),
    /// JSON that was kept: a request that is repeated gets what the first one got.
    Kept(Vec<u8>),
}

impl<B: FromRequest<Api, Rejection = Problem>> FromRequest<Api> for Creation<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, rest) = request.into_parts();
        let Some(key) = parts.headers.get("idempotency-key").cloned() else {
            let new = B::from_request(Request::from_parts(parts, rest), api).await?;
            return Ok(Self { new, once: None });
        };
        let key = key.to_str().ok().filter(|key| is_key(key)).ok_or_else(|| {
            let detail = "Idempotency-Key must be 1 to 255 printable ASCII characters";
            Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
        })?;
        let actor = AnyActor::from_request_parts(&mut parts, api).await?;
        let mut fingerprint = Sha256::new();
        fingerprint.update(parts.method.as_str());
        fingerprint.update([0]);
        fingerprint.update(parts.uri.path());
        fingerprint.update([0]);
        let bytes = body::bytes(Request::from_parts(parts.clone(), rest), api).await?;
        fingerprint.update(&bytes);
        let new = B::from_request(Request::from_parts(parts, bytes.into()), api).await?;
        let once = IdempotentRequest {
            actor: actor.credential().to_string(),
            key: key.to_owned(),
            fingerprint: fingerprint.finalize().to_vec(),
        };
        Ok(Self { new, once: Some(once) })
    }
}

impl<B> Creation<B> {
    /// What a page's form creates: `key` names the attempt, `path` and `said` what was sent.
    #[must_use]
    pub fn of_form(new: B, sender: &AnyActor, key: &str, path: &str, said: &[u8]) -> Self {
        let fingerprint = Sha256::new().chain_update(path).chain_update([0]).chain_update(said);
        let once = IdempotentRequest {
            actor: sender.credential().to_string(),
            key: key.to_owned(),
            fingerprint: fingerprint.finalize().to_vec(),
        };
        Self { new, once: Some(once).filter(|once| is_key(&once.key)) }
    }

    /// Has it made by `create`, in one transaction, and answers `status` with what that tells; where it
    /// was answered before, answers that again.
    ///
    /// # Errors
    /// `create` refused, or the key was used for something else or is in use now; nothing was made.
    pub async fn once<T: Serialize>(
        self,
        api: &Api,
        status: StatusCode,
        create: impl AsyncFnOnce(&mut Tx, B) -> Result<T, Problem>,
    ) -> Result<Answered<T>, Problem> {
        let Self { new, once } = self;
        let mut tx = api.store.begin().await?;
        if let Some(once) = &once
            && let Some(answer) = tx.answer(&once.actor, &once.key).await?
        {
            return replay(api, once, &answer);
        }
        let made = create(&mut tx, new).await?;
        if let Some(once) = once {
            let body = serde_json::to_vec(&made).map_err(|error| {
                tracing::error!(%error, "an answer could not be written");
                Problem::internal()
            })?;
            let answer = StoredAnswer {
                fingerprint: once.fingerprint,
                status: status.as_u16().into(),
                sealed_body: api.master.seal(&api.world, Purpose::Answer(&once.actor, &once.key), &body),
            };
            tx.keep_answer(&once.actor, &once.key, &answer, api.world.now()).await.map_err(in_flight)?;
        }
        tx.commit().await?;
        Ok(Answered { status, body: AnswerBody::Made(made), replayed: false })
    }

    /// The same creation, of what is read from its body.
    pub fn map<C>(self, read: impl FnOnce(B) -> C) -> Creation<C> {
        Creation { new: read(self.new), once: self.once }
    }
}

impl<T: DeserializeOwned> Answered<T> {
    /// What was made, now or before.
    ///
    /// # Errors
    /// What was kept cannot be read any more.
    pub fn into_made(self) -> Result<T, Problem> {
        match self.body {
            AnswerBody::Made(made) => Ok(made),
            AnswerBody::Kept(json) => serde_json::from_slice(&json).map_err(|error| {
                tracing::error!(%error, "an answer cannot be read");
                Problem::internal()
            }),
        }
    }

    /// Adds to the answer what is true now, and so is not kept.
    ///
    /// # Errors
    /// As [`Answered::into_made`].
    pub async fn with<U>(self, add: impl AsyncFnOnce(T) -> U) -> Result<Answered<U>, Problem> {
        let Self { status, replayed, .. } = self;
        let body = AnswerBody::Made(add(self.into_made()?).await);
        Ok(Answered { status, body, replayed })
    }
}

impl<T: Serialize> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        let Self { status, body, replayed } = self;
        let mut response = match body {
            AnswerBody::Made(made) => (status, Json(made)).into_response(),
            AnswerBody::Kept(json) => {
                (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
            }
        };
        if replayed {
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|c| matches!(c, b' '..=b'~'))
}

fn in_flight(error: latchkey_store::Error) -> Problem {
    if is_unique_violation(&error) {
        let detail = "a request with this Idempotency-Key is in progress: try again";
        return Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", detail);
    }
    error.into()
}

fn replay<T>(api: &Api, once: &IdempotentRequest, answer: &StoredAnswer) -> Result<Answered<T>, Problem> {
    if answer.fingerprint != once.fingerprint {
        let detail = "this Idempotency-Key was used for a different request: use a new one";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail));
    }
    let body = api
        .master
        .open(Purpose::Answer(&once.actor, &once.key), &answer.sealed_body)
        .map_err(Refusal::from)?;
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let body = body.expose_secret().as_bytes().to_vec();
    let body = AnswerBody::Kept(body);
    Ok(Answered { status: status.unwrap_or(StatusCode::OK), body, replayed: true })
}

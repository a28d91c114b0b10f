//! Creations that may be sent twice: with the same `Idempotency-Key` and the same body, the first
//! answer is given again for a day.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::auth::Anyone;
use super::body::{self, Body};
use super::problem::Problem;
use crate::action::Refusal;
use crate::seal::Purpose;
use crate::store::Tx;
use crate::store::idempotency::Answer;

const LONGEST_KEY: usize = 255;

/// A creation: what to create, and whether it may have been sent before.
#[derive(Clone, Debug)]
pub struct Creation<T> {
    /// What to create.
    pub new: T,
    once: Option<Once>,
}

#[derive(Clone, Debug)]
struct Once {
    actor: String,
    key: String,
    fingerprint: Vec<u8>,
}

/// A creation under way.
pub enum Attempt {
    /// It was answered before.
    Replay(Response),
    /// It is the first.
    First(Box<First>),
}

/// The first attempt, and its transaction.
pub struct First {
    /// Where to create.
    pub tx: Tx,
    once: Option<Once>,
}

impl<T: DeserializeOwned> FromRequest<Api> for Creation<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, rest) = request.into_parts();
        let Some(key) = parts.headers.get("idempotency-key").cloned() else {
            let Body(new) = Body::from_request(Request::from_parts(parts, rest), api).await?;
            return Ok(Self { new, once: None });
        };
        let key = key.to_str().ok().filter(|key| is_key(key)).ok_or_else(|| {
            let detail = "Idempotency-Key must be 1 to 255 printable ASCII characters";
            Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
        })?;
        let actor = Anyone::from_request_parts(&mut parts, api).await?;
        let mut fingerprint = Sha256::new();
        fingerprint.update(parts.method.as_str());
        fingerprint.update([0]);
        fingerprint.update(parts.uri.path());
        fingerprint.update([0]);
        let bytes = body::bytes(Request::from_parts(parts.clone(), rest), api).await?;
        fingerprint.update(&bytes);
        let Body(new) = Body::from_request(Request::from_parts(parts, bytes.into()), api).await?;
        let once = Once {
            actor: actor.credential().to_string(),
            key: key.to_owned(),
            fingerprint: fingerprint.finalize().to_vec(),
        };
        Ok(Self { new, once: Some(once) })
    }
}

impl<T> Creation<T> {
    /// What a page's form creates: `key` names the attempt, `path` and `said` what was sent.
    #[must_use]
    pub fn of_form(new: T, sender: &Anyone, key: &str, path: &str, said: &[u8]) -> Self {
        let fingerprint = Sha256::new().chain_update(path).chain_update([0]).chain_update(said);
        let once = Once {
            actor: sender.credential().to_string(),
            key: key.to_owned(),
            fingerprint: fingerprint.finalize().to_vec(),
        };
        Self { new, once: Some(once).filter(|once| is_key(&once.key)) }
    }

    /// Begins the creation.
    ///
    /// # Errors
    /// The key was used for something else, or the database failed.
    pub async fn begin(self, api: &Api) -> Result<(T, Attempt), Problem> {
        let Self { new, once } = self;
        let mut tx = api.store.begin().await?;
        if let Some(once) = &once
            && let Some(answer) = tx.answer(&once.actor, &once.key).await?
        {
            return Ok((new, Attempt::Replay(replay(api, once, &answer)?)));
        }
        Ok((new, Attempt::First(Box::new(First { tx, once }))))
    }
}

impl First {
    /// Commits, and answers 201 with `created`.
    ///
    /// # Errors
    /// The same key was used at the same time, or the database failed; nothing was created.
    pub async fn created(self, api: &Api, created: &impl Serialize) -> Result<Response, Problem> {
        let Self { mut tx, once } = self;
        let body = serde_json::to_vec(created).map_err(|error| {
            tracing::error!(%error, "an answer could not be written");
            Problem::internal()
        })?;
        if let Some(once) = once {
            let answer = Answer {
                fingerprint: once.fingerprint,
                status: StatusCode::CREATED.as_u16().into(),
                sealed_body: api.master.seal(&api.world, Purpose::Answer(&once.actor, &once.key), &body),
            };
            tx.keep_answer(&once.actor, &once.key, &answer, api.world.now()).await.map_err(in_flight)?;
        }
        tx.commit().await?;
        Ok(json(StatusCode::CREATED, body))
    }
}

fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|c| matches!(c, b' '..=b'~'))
}

fn in_flight(error: sqlx::Error) -> Problem {
    if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
        let detail = "a request with this Idempotency-Key is being answered: try again";
        return Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", detail);
    }
    error.into()
}

fn replay(api: &Api, once: &Once, answer: &Answer) -> Result<Response, Problem> {
    if answer.fingerprint != once.fingerprint {
        let detail = "this Idempotency-Key was used for another request: use a new one";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail));
    }
    let body = api
        .master
        .open(Purpose::Answer(&once.actor, &once.key), &answer.sealed_body)
        .map_err(Refusal::from)?;
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = json(status.unwrap_or(StatusCode::OK), body.expose_secret().as_bytes().to_vec());
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

//! What is made once though it is asked for twice: with the same `Idempotency-Key` and the same body, the
//! first answer is given again for a day.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::auth::Anyone;
use super::body;
use super::problem::Problem;
use crate::action::Refusal;
use crate::seal::Purpose;
use crate::store::Tx;
use crate::store::idempotency::StoredAnswer;

const LONGEST_KEY: usize = 255;

/// What to make, and whether it may have been asked for before.
#[derive(Clone, Debug)]
pub struct Creation<B> {
    /// The body, which says what to make.
    pub new: B,
    once: Option<Once>,
}

#[derive(Clone, Debug)]
struct Once {
    actor: String,
    key: String,
    fingerprint: Vec<u8>,
}

/// What was answered to a creation, now or when it was first asked for.
#[derive(Clone, Debug)]
pub struct Answered {
    status: StatusCode,
    /// JSON.
    body: Vec<u8>,
    replayed: bool,
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
        let actor = Anyone::from_request_parts(&mut parts, api).await?;
        let mut fingerprint = Sha256::new();
        fingerprint.update(parts.method.as_str());
        fingerprint.update([0]);
        fingerprint.update(parts.uri.path());
        fingerprint.update([0]);
        let bytes = body::bytes(Request::from_parts(parts.clone(), rest), api).await?;
        fingerprint.update(&bytes);
        let new = B::from_request(Request::from_parts(parts, bytes.into()), api).await?;
        let once = Once {
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
    pub fn of_form(new: B, sender: &Anyone, key: &str, path: &str, said: &[u8]) -> Self {
        let fingerprint = Sha256::new().chain_update(path).chain_update([0]).chain_update(said);
        let once = Once {
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
    /// `create` refused, the key was used for something else or is in use now, or the database failed;
    /// nothing was made.
    pub async fn once<T: Serialize>(
        self,
        api: &Api,
        status: StatusCode,
        create: impl AsyncFnOnce(&mut Tx, B) -> Result<T, Problem>,
    ) -> Result<Answered, Problem> {
        let Self { new, once } = self;
        let mut tx = api.store.begin().await?;
        if let Some(once) = &once
            && let Some(answer) = tx.answer(&once.actor, &once.key).await?
        {
            return replay(api, once, &answer);
        }
        let told = create(&mut tx, new).await?;
        let body = written(&told)?;
        if let Some(once) = once {
            let answer = StoredAnswer {
                fingerprint: once.fingerprint,
                status: status.as_u16().into(),
                sealed_body: api.master.seal(&api.world, Purpose::Answer(&once.actor, &once.key), &body),
            };
            tx.keep_answer(&once.actor, &once.key, &answer, api.world.now()).await.map_err(in_flight)?;
        }
        tx.commit().await?;
        Ok(Answered { status, body, replayed: false })
    }
}

impl Answered {
    /// What was told.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn told<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            tracing::error!(%error, "an answer cannot be read");
            Problem::internal()
        })
    }

    /// Tells this too, which is not kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn with(self, member: &str, value: &impl Serialize) -> Result<Self, Problem> {
        let mut told: Value = self.told()?;
        told[member] = serde_json::to_value(value).map_err(unwritten)?;
        Ok(Self { body: written(&told)?, ..self })
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Self { status, body, replayed } = self;
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if replayed {
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

fn written(told: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(told).map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer could not be written");
    Problem::internal()
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

fn replay(api: &Api, once: &Once, answer: &StoredAnswer) -> Result<Answered, Problem> {
    if answer.fingerprint != once.fingerprint {
        let detail = "this Idempotency-Key was used for another request: use a new one";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail));
    }
    let body = api
        .master
        .open(Purpose::Answer(&once.actor, &once.key), &answer.sealed_body)
        .map_err(Refusal::from)?;
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let body = body.expose_secret().as_bytes().to_vec();
    Ok(Answered { status: status.unwrap_or(StatusCode::OK), body, replayed: true })
}

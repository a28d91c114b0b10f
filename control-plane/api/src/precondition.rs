//! What a change is made on top of: a resource has an `ETag`, and with it as `If-Match` it is changed only as it was
//! read. Without `If-Match` it is changed whatever it is.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_service::action::Refusal;
use latchkey_store::Tx;
use latchkey_store::audit::AuditFilter;
use latchkey_store::versions::VersionHead;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Api;
use super::problem::{ChangedMeanwhile, Problem};

/// Names a state of a resource: letters and digits, without the quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

/// A resource with its tag, which the header `ETag` has.
#[derive(Clone, Debug)]
pub struct Tagged<T>(pub T, pub EntityTag);

/// The tags of `If-Match`, one of which the resource must have; none where any will do.
#[derive(Clone, Debug, Default)]
pub struct IfMatch(Option<Vec<EntityTag>>);

/// What says that the resource is not as it was read.
pub const CHANGED: &str = "changed_meanwhile";

/// How many versions, or entries of the audit log, a refusal tells of.
const MOST_NAMED: i64 = 20;

impl EntityTag {
    /// Of an app, by the number of its newest version.
    #[must_use]
    pub fn of_version(number: i64) -> Self {
        Self(format!("v{number}"))
    }

    /// Of any other resource, by what is shown of it.
    #[must_use]
    pub fn of(shown: &impl Serialize) -> Self {
        let json = serde_json::to_vec(shown).unwrap_or_default();
        let hash = Sha256::digest(json);
        Self(hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Without quotes, as forms have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version of an app that it names; none of another resource's.
    #[must_use]
    pub fn version(&self) -> Option<i64> {
        self.0.strip_prefix('v')?.parse().ok()
    }
}

impl<T> Tagged<T> {
    /// Any resource but an app, by what is shown of it.
    #[must_use]
    pub fn of(shown: T) -> Self
    where
        T: Serialize,
    {
        let tag = EntityTag::of(&shown);
        Self(shown, tag)
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(shown, EntityTag(tag)) = self;
        let mut response = Json(shown).into_response();
        if let Ok(value) = HeaderValue::try_from(format!("\"{tag}\"")) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response
    }
}

impl FromRequestParts<Api> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        let mut is_there = false;
        for value in parts.headers.get_all(header::IF_MATCH) {
            is_there = true;
            let wrong = || {
                let detail = "If-Match must be `*`, or a comma-separated list of ETags in double quotes";
                Problem::new(StatusCode::BAD_REQUEST, "invalid_if_match", detail)
            };
            for tag in value.to_str().map_err(|_| wrong())?.split(',').map(str::trim) {
                match tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
                    _ if tag == "*" => return Ok(Self(None)),
                    // A weak tag never matches.
                    None if tag.starts_with("W/\"") && tag.ends_with('"') => {}
                    Some(tag) if !tag.contains('"') => tags.push(EntityTag(tag.to_owned())),
                    _ => return Err(wrong()),
                }
            }
        }
        Ok(Self(is_there.then_some(tags)))
    }
}

impl IfMatch {
    /// What a form was shown with; nothing where it says nothing.
    #[must_use]
    pub fn of_form(tag: &str) -> Self {
        Self(Some(tag).filter(|tag| !tag.is_empty()).map(|tag| vec![EntityTag(tag.to_owned())]))
    }

    /// Refuses to change an app that is no longer as it was read. It stays locked until the transaction ends.
    ///
    /// # Errors
    /// It is at another version: who made it, and which fields differ.
    pub(crate) async fn check_app(&self, tx: &mut Tx, id: Uuid) -> Result<(), Problem> {
        let Some(tags) = &self.0 else { return Ok(()) };
        tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
        let newest = tx.newest_version(id).await?;
        if tags.contains(&EntityTag::of_version(newest)) {
            return Ok(());
        }
        let base = tags.iter().filter_map(EntityTag::version).max().unwrap_or(0);
        let since = tx.versions_after(id, base, MOST_NAMED).await?;
        let mut meanwhile = ChangedMeanwhile::default();
        for VersionHead { actor_name, changed, .. } in since {
            note(&mut meanwhile.by, actor_name);
            changed.into_iter().for_each(|path| note(&mut meanwhile.fields, path.to_string()));
        }
        Err(changed(&format!("the app is now at version {newest}"), meanwhile))
    }

    /// Refuses to change another resource that is no longer as it was read: `now` is what is shown of it, as the
    /// transaction has locked it, and `kind` and `id` are what the audit log calls it.
    ///
    /// # Errors
    /// It differs.
    pub(crate) async fn check(
        &self,
        api: &Api,
        (kind, id): (&str, &str),
        now: &impl Serialize,
    ) -> Result<(), Problem> {
        match &self.0 {
            Some(tags) if !tags.contains(&EntityTag::of(now)) => {}
            _ => return Ok(()),
        }
        // What the log does not tell, or not any more, is not named.
        let filter = AuditFilter { subject: Some(id.to_owned()), ..AuditFilter::default() };
        let mut meanwhile = ChangedMeanwhile::default();
        let entries = api.store.audit(&filter, MOST_NAMED).await?;
        if let Some(last) = entries.into_iter().find(|link| link.entry.subject_kind == kind) {
            let data: Value = serde_json::from_str(&last.entry.data).unwrap_or_default();
            let fields = data["changed"].as_array().into_iter().flatten().filter_map(Value::as_str);
            meanwhile = ChangedMeanwhile {
                by: vec![last.entry.actor_name],
                fields: fields.map(str::to_owned).collect(),
            };
        }
        Err(changed(&format!("the {} has changed since you read it", kind.replace('_', " ")), meanwhile))
    }

    /// The version of an app that it names; none where any will do.
    #[must_use]
    pub fn version(&self) -> Option<i64> {
        self.0.as_ref()?.iter().find_map(EntityTag::version)
    }
}

fn note(all: &mut Vec<String>, one: String) {
    if !all.contains(&one) {
        all.push(one);
    }
}

fn changed(what: &str, meanwhile: ChangedMeanwhile) -> Problem {
    let list = |all: &[String]| all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    let who = match (meanwhile.by.as_slice(), meanwhile.fields.as_slice()) {
        ([], _) => String::new(),
        (by, []) => format!(", last by {}", by.join(", ")),
        (by, fields) => format!(": {} changed {}", by.join(", "), list(fields)),
    };
    let detail = format!(
        "{what}{who}. Nothing was changed: read it again and decide, or leave out If-Match to change it anyway"
    );
    let changed_meanwhile = Some(Box::new(meanwhile));
    Problem { changed_meanwhile, ..Problem::new(StatusCode::PRECONDITION_FAILED, CHANGED, detail) }
}

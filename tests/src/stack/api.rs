//! The control plane's API.

use anyhow::Context as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::answer::Answer;

/// A client with one token.
#[derive(Clone, Debug)]
pub struct Api {
    url: String,
    token: String,
    client: Client,
}

/// An app that was created.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id.
    pub id: String,
    /// Its key's value.
    pub key: String,
    /// Its key's id.
    pub key_id: String,
}

/// A named key that was created.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// Its id.
    pub id: String,
    /// The id of its app.
    pub app: String,
    /// Its value.
    pub value: String,
}

impl App {
    /// Its path in the API.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/v1/apps/{}", self.id)
    }
}

impl NamedKey {
    /// Its path in the API.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/v1/apps/{}/keys/{}", self.app, self.id)
    }
}

impl Api {
    /// A client of the API at `url`.
    #[must_use]
    pub fn new(url: &str, token: &str) -> Self {
        Self { url: url.to_owned(), token: token.to_owned(), client: Client::new() }
    }

    /// The same API with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Where it is; the portal is there too.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is asked with.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Creates, or acts.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Sends any request.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::read(request.send().await?).await
    }

    /// Creates a provider.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_provider(
        &self,
        name: &str,
        kind: &str,
        url: &str,
        credential: &str,
    ) -> anyhow::Result<Value> {
        let body = json!({ "name": name, "kind": kind, "base_url": url, "credential": credential });
        self.post("/api/v1/providers", body).await?.ok().with_context(|| format!("creating provider {name}"))
    }

    /// Creates a model.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_model(&self, name: &str, provider: &str) -> anyhow::Result<Value> {
        let body = json!({ "name": name, "provider": provider });
        self.post("/api/v1/models", body).await?.ok().with_context(|| format!("creating model {name}"))
    }

    /// Creates a user, and tells the id.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_user(&self, email: &str) -> anyhow::Result<String> {
        let body = json!({ "email": email, "name": email });
        text(&self.post("/api/v1/users", body).await?.ok().context("creating a user")?, &["id"])
    }

    /// Creates an app that may use every provider and model, unless `body` says otherwise.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_app(&self, mut body: Value) -> anyhow::Result<App> {
        for field in ["allowed_models", "allowed_providers"] {
            if body[field].is_null() {
                body[field] = json!("all");
            }
        }
        let app = self.post("/api/v1/apps", body).await?.ok().context("creating an app")?;
        Ok(App {
            id: text(&app, &["id"])?,
            key: text(&app, &["key", "value"])?,
            key_id: text(&app, &["key", "id"])?,
        })
    }

    /// Creates a named key for a user.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_key(&self, app: &App, user: &str, name: &str) -> anyhow::Result<NamedKey> {
        let body = json!({ "user_id": user, "name": name });
        let key =
            self.post(&format!("{}/keys", app.path()), body).await?.ok().context("creating a named key")?;
        Ok(NamedKey { id: text(&key, &["id"])?, app: app.id.clone(), value: text(&key, &["value"])? })
    }

    /// Acts on what is at `path`: `activate`, `deactivate`, `revoke`. The answer tells which
    /// gateways have applied it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn act(&self, path: &str, action: &str) -> anyhow::Result<Value> {
        let answer = self.post(&format!("{path}/{action}"), json!({})).await?;
        answer.ok().with_context(|| format!("{action} on {path}"))
    }

    /// Rotates what is at `path` (an app's `…/key`, or a named key), and tells the new value.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn rotate(&self, path: &str, grace_seconds: u64) -> anyhow::Result<String> {
        let body = json!({ "grace_seconds": grace_seconds });
        let key = self.post(&format!("{path}/rotate"), body).await?.ok().context("rotating a key")?;
        text(&key, &["value"]).or_else(|_| text(&key, &["key", "value"]))
    }

    /// What admins see of a gateway, once it is known.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn gateway(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let list = self.get("/api/v1/gateways").await?.ok()?;
        Ok(list["items"]
            .as_array()
            .and_then(|all| all.iter().find(|gateway| gateway["name"] == name))
            .cloned())
    }
}

/// The text at a path in an answer.
fn text(value: &Value, path: &[&str]) -> anyhow::Result<String> {
    let found = path.iter().fold(value, |value, field| &value[*field]);
    found.as_str().map(str::to_owned).with_context(|| format!("no text at {} of {value}", path.join(".")))
}

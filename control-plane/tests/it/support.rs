//! A control plane without listeners, on a database of its own, with a clock that stands still.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use latchkey::router::router;
use latchkey_api::{Api, ApiSettings};
use latchkey_core::actor::Actor;
use latchkey_core::role::Role;
use latchkey_discovery::ads::Statuses;
use latchkey_discovery::registry::{Connection, Registry};
use latchkey_discovery::session::{Greeting, Progress};
use latchkey_service::action::By;
use latchkey_service::action::tokens::{self, NewToken};
use latchkey_service::gateways::{Gateways, STOP_AWAITING_AFTER};
use latchkey_service::sign_in::SignIn;
use latchkey_service::tokens::ANY_GATEWAY;
use latchkey_store::Store;
use latchkey_store::seal::MasterKey;
use latchkey_world::{Clock, Entropy, World};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tower::ServiceExt as _;

mod migrated;

/// Declares a test that runs on both databases.
macro_rules! on_both {
    ($(#[doc = $doc:literal])* async fn $name:ident($test:ident: Test) $body:block) => {
        mod $name {
            use super::*;

            async fn run($test: $crate::support::Test) $body

            #[tokio::test]
            async fn sqlite() {
                run($crate::support::Test::sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                run($crate::support::Test::postgres().await).await;
            }
        }
    };
}
pub(crate) use on_both;

/// By what there are sums over all apps, and what their columns are.
const SUMMED: [(&str, &str); 7] = [
    ("all", "'' AS value, model, provider"),
    ("app", "app_id AS value, '' AS model, '' AS provider"),
    ("user", "user_id AS value, '' AS model, '' AS provider"),
    ("app_model", "app_id AS value, model, provider"),
    ("user_model", "user_id AS value, model, provider"),
    ("app_provider", "app_id AS value, '' AS model, provider"),
    ("user_provider", "user_id AS value, '' AS model, provider"),
];

/// 2026-01-01T00:00:00Z
pub const START_MS: i64 = 1_767_225_600_000;

pub struct Test {
    pub store: Store,
    pub world: World,
    pub clock: StoppedClock,
    pub api: Api,
    pub registry: Registry,
    pub owner: String,
    pub url: String,
    /// Made once, since its document is large.
    router: OnceLock<Router>,
    _files: tempfile::TempDir,
}

#[derive(Clone)]
pub struct StoppedClock(Arc<AtomicI64>);

struct Randomness;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub json: Value,
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

impl StoppedClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Entropy for Randomness {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

fn sqlite_file(files: &tempfile::TempDir) -> PathBuf {
    files.path().join("test.db")
}

/// A superuser's URL.
fn postgres_server() -> String {
    std::env::var("LATCHKEY_TEST_POSTGRES_URL")
        .expect("LATCHKEY_TEST_POSTGRES_URL names a server: run the tests with `make test`")
}

fn postgres_name() -> String {
    format!("test_{}", World::system().id().simple())
}

/// The URL of another database of this server.
fn postgres_database(server: &str, name: &str) -> String {
    let (head, query) = server.split_once('?').map_or((server, None), |(head, query)| (head, Some(query)));
    let base = head.rsplit_once('/').unwrap().0;
    format!("{base}/{name}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
}

impl Test {
    pub async fn sqlite() -> Self {
        sqlx::any::install_default_drivers();
        let files = tempfile::tempdir().unwrap();
        migrated::sqlite(&sqlite_file(&files)).await;
        Self::on(&Self::sqlite_url(&files), files).await
    }

    pub async fn postgres() -> Self {
        sqlx::any::install_default_drivers();
        let (server, name) = (postgres_server(), postgres_name());
        migrated::postgres(&server, &name, |name| postgres_database(&server, name)).await;
        Self::on(&postgres_database(&server, &name), tempfile::tempdir().unwrap()).await
    }

    /// Of a database that does not exist yet.
    pub fn sqlite_url(files: &tempfile::TempDir) -> String {
        format!("sqlite://{}?mode=rwc", sqlite_file(files).display())
    }

    /// Of a new, empty database.
    pub async fn postgres_url() -> String {
        sqlx::any::install_default_drivers();
        let (server, name) = (postgres_server(), postgres_name());
        let mut admin = sqlx::AnyConnection::connect(&server).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut admin).await.unwrap();
        postgres_database(&server, &name)
    }

    /// On this database, which may be older.
    pub async fn on(url: &str, files: tempfile::TempDir) -> Self {
        let store = Store::open(url).await.unwrap();
        store.migrate().await.unwrap();
        let clock = StoppedClock(Arc::new(AtomicI64::new(START_MS)));
        let world = World::new(clock.clone(), Randomness);
        let (registry, statuses) = (Registry::default(), Statuses::default());
        let gateways =
            Gateways::new(registry.clone(), statuses, store.clone(), world.clone(), STOP_AWAITING_AFTER);
        let master =
            MasterKey::parse(&"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned().into()).unwrap();
        let settings = ApiSettings {
            apply_wait: Duration::from_millis(200),
            sign_in: Arc::new(SignIn::new("http://127.0.0.1:8080".parse().unwrap(), &world)),
            gateway_url: "http://127.0.0.1:10000".into(),
            opened: Arc::default(),
            opened_to_webhooks: Arc::default(),
            mail: None,
        };
        let api = Api::new(store.clone(), world.clone(), master, Arc::new(gateways), settings);
        let mut test = Self {
            store,
            world,
            clock,
            api,
            registry,
            owner: String::new(),
            url: url.to_owned(),
            router: OnceLock::new(),
            _files: files,
        };
        test.owner = test.token(Role::Owner).await;
        test
    }

    /// The stream of a gateway's process to this control plane; it has applied all up to `revision`.
    pub fn connect(&self, name: &str, instance: &str, revision: u64) -> Connection {
        static STREAMS: AtomicU64 = AtomicU64::new(1);
        let stream = STREAMS.fetch_add(1, Ordering::SeqCst);
        let greeting = Greeting { gateway: name.to_owned(), instance: instance.to_owned() };
        let connection = self.registry.connect(stream, greeting, tokio::sync::watch::channel(0).1);
        connection.report(&Progress { acknowledged: revision, sent: revision, ..Progress::default() });
        connection
    }

    /// A gateway with a stream to this control plane; it has applied all up to `revision`.
    pub fn gateway(&self, name: &str, revision: u64) -> Connection {
        self.connect(name, &format!("{name}-process"), revision)
    }

    /// Another control plane over the same database: a replica, or the same one after a restart.
    pub async fn another(&self) -> Self {
        Self::on(&self.url, tempfile::tempdir().unwrap()).await
    }

    /// Does what no action does.
    pub async fn sql(&self, statements: &[String]) {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        for statement in statements {
            sqlx::query(sqlx::AssertSqlSafe(statement.as_str())).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    /// The texts of a query's only column.
    pub async fn column(&self, query: &str) -> Vec<String> {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// Makes an app's row unreadable.
    pub async fn damage_app(&self, id: &str) {
        self.sql(&[format!("UPDATE apps SET settings = 'damaged' WHERE id = '{id}'")]).await;
    }

    /// Writes a row as the ledger would: of `row`, and of what else the table needs.
    pub async fn insert(&self, table: &str, row: Value) {
        let mut columns = match table {
            "records" => json!({
                "at": START_MS, "request_id": "r", "gateway": "edge-1", "app_id": "", "key_id": "", "user_id": "",
                "model": "", "served_model": "", "provider": "", "endpoint": "chat_completions", "status": 200,
                "code": "", "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0,
                "cost": 0, "price_version": 0, "settlement": "none", "latency_ms": 0, "streamed": 0,
                "client_address": "", "conversation_id": "", "metadata": "{}"
            }),
            "usage_days" => json!({
                "day": START_MS / 86_400_000, "app_id": "", "key_id": "", "user_id": "", "model": "", "provider": "",
                "requests": 1, "denied": 0, "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0,
                "reasoning_tokens": 0, "cost": 0
            }),
            "leases" => json!({
                "instance": "i", "gateway": "edge-1", "granted": 0, "used": 0, "returned": 0, "local": 0,
                "expires_at": 0
            }),
            "findings" => json!({
                "at": START_MS, "request_id": "r", "gateway": "edge-1", "app_id": "", "key_id": "", "user_id": "",
                "category": "pii", "detector": "email", "risk": "low", "action": "monitored", "direction": "request",
                "place": "messages[0].content", "message": 0, "count": 1, "excerpt": "k\u{2022}\u{2022}\u{2022}@example.com",
                "value_hash": "00ff"
            }),
            _ => json!({}),
        };
        let columns = columns.as_object_mut().unwrap();
        columns.extend(row.as_object().unwrap().clone());
        let names = columns.keys().cloned().collect::<Vec<_>>().join(", ");
        let value = |value: &Value| match value {
            Value::String(text) => format!("'{text}'"),
            Value::Null => "NULL".to_owned(),
            other => other.to_string(),
        };
        let values = columns.values().map(value).collect::<Vec<_>>().join(", ");
        self.sql(&[format!("INSERT INTO {table} ({names}) VALUES ({values})")]).await;
        if table == "usage_days" {
            self.sum_up().await;
        }
    }

    /// Makes the sums over all apps of those by day and key.
    pub async fn sum_up(&self) {
        let mut statements = vec!["DELETE FROM usage_sums".to_owned()];
        for (dimension, columns) in SUMMED {
            statements.push(format!(
                "INSERT INTO usage_sums SELECT '{dimension}', day, value, model, provider, SUM(requests), SUM(denied),
                 SUM(input_tokens), SUM(cached_input_tokens), SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
                 FROM (SELECT day, {columns}, requests, denied, input_tokens, cached_input_tokens, output_tokens,
                       reasoning_tokens, cost FROM usage_days) AS each_sum GROUP BY day, value, model, provider"
            ));
        }
        self.sql(&statements).await;
    }

    /// Puts the database back to the revision before, as a failover to a late copy would.
    pub async fn lose_last_revision(&self) {
        self.sql(&[
            "UPDATE head SET revision = revision - 1, tag = (SELECT tag FROM revisions WHERE revision = head.revision - 1)"
                .to_owned(),
            "DELETE FROM revisions WHERE revision > (SELECT revision FROM head)".to_owned(),
        ])
        .await;
    }

    /// A new token of this role.
    pub async fn token(&self, role: Role) -> String {
        self.new_token(role, None).await
    }

    /// A new token of the user with this id.
    pub async fn token_of(&self, user: &str) -> String {
        self.new_token(Role::Owner, Some(user.parse().unwrap())).await
    }

    async fn new_token(&self, role: Role, user_id: Option<uuid::Uuid>) -> String {
        let mut tx = self.store.begin().await.unwrap();
        // Several gateways of a test may share it.
        let gateway = (role == Role::Gateway).then(|| ANY_GATEWAY.to_owned());
        let new = NewToken { name: role.as_str().to_owned(), role, user_id, expires_at: None, gateway };
        let token = tokens::create(&mut tx, By { actor: &Actor::system("test"), world: &self.world }, new)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        token.expose_secret().to_owned()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let json = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, json }
    }

    /// Serves what `api` is now.
    pub fn renew_router(&mut self) {
        self.router = OnceLock::new();
    }

    /// The service.
    pub fn router(&self) -> Router {
        self.router.get_or_init(|| router(self.api.clone())).clone()
    }

    /// The answer's status, and its code where it is a problem; the rest of it may be anything.
    pub async fn status(&self, request: Request<Body>) -> (u16, String) {
        let response: Response = self.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        (status, json["code"].as_str().unwrap_or_default().to_owned())
    }

    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {}", self.owner))
            .header("content-type", "application/json");
        request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
    }

    /// Sends a request with this token in the place of the owner's.
    pub async fn with(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path, body.as_ref());
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        self.send(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path, None)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", path, Some(&body))).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("PATCH", path, Some(&body))).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path, None)).await
    }

    /// Posts without a body.
    pub async fn act(&self, path: &str) -> Answer {
        self.send(self.request("POST", path, None)).await
    }

    /// An app, as its creation answers.
    pub async fn app(&self, settings: Value) -> Value {
        let mut body = json!({"name": "Support Bot"});
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self.post("/apps", body).await.expect(StatusCode::CREATED)
    }

    /// A user's id.
    pub async fn user(&self, email: &str) -> String {
        let user =
            self.post("/users", json!({"email": email, "name": email})).await.expect(StatusCode::CREATED);
        id(&user)
    }

    /// A named key of a new user, as its creation answers.
    pub async fn named_key(&self, app: &Value) -> Value {
        let user = self.user(&format!("{}@acme.com", self.world.id().simple())).await;
        let body = json!({"user_id": user, "name": "Alice local dev"});
        self.post(&format!("/apps/{}/keys", id(app)), body).await.expect(StatusCode::CREATED)
    }

    /// A smart group's id.
    pub async fn group(&self, name: &str, users: &[&str]) -> String {
        let group = id(&self.post("/groups", json!({"name": name})).await.expect(StatusCode::CREATED));
        if !users.is_empty() {
            let members = json!({"users": users});
            self.post(&format!("/groups/{group}/members"), members).await.expect(StatusCode::OK);
        }
        group
    }

    /// Edits an app's self-service settings.
    pub async fn self_service(&self, app: &Value, edit: Value) {
        self.patch(&format!("/apps/{}/self-service", id(app)), edit).await.expect(StatusCode::OK);
    }

    /// What the audit log says was done to the thing with this id, in order.
    pub async fn audited_of(&self, id: &str) -> Vec<String> {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let select = format!("SELECT action FROM audit WHERE subject_id = '{id}' ORDER BY number");
        let rows = sqlx::query(sqlx::AssertSqlSafe(select)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| sqlx::Row::get(row, "action")).collect()
    }

    /// A provider `openai` with the model `gpt-4o`.
    pub async fn catalogue(&self) {
        let provider = json!({"name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1"});
        self.post("/providers", provider).await.expect(StatusCode::CREATED);
        self.post("/models", json!({"name": "gpt-4o", "provider": "openai"}))
            .await
            .expect(StatusCode::CREATED);
    }
}

impl Answer {
    /// The body, when the status is this one.
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{:#}", self.json);
        self.json
    }

    /// The problem's code, and the first wrong field.
    #[track_caller]
    pub fn refused(self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{:#}", self.json);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["status"], status);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&self.json["code"]), text(&self.json["errors"][0]["path"]))
    }
}

pub fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

pub fn pair(code: &str, path: &str) -> (String, String) {
    (code.to_owned(), path.to_owned())
}

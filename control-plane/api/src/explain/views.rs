use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use jiff::Timestamp;
use latchkey_core::distinct;
use latchkey_core::invalid::FieldError;
use latchkey_filter_core::answer::reply::Reply;
use latchkey_filter_core::limits::account::{HeldUnits, SubjectId};
use latchkey_filter_core::limits::quota;
use latchkey_filter_core::request::body::max_output_member;
use latchkey_filter_core::request::endpoint::{ClientApi, Endpoint, ModelOperation, split_query};
use latchkey_filter_core::request::mcp_endpoint::McpVerb;
use latchkey_filter_core::routing::ChosenBy;
use latchkey_filter_core::snapshot::RoutingTarget;
use latchkey_filter_core::snapshot::{AppId, ProviderKind};
use latchkey_filter_core::upstream::attempts::Attempts;
use latchkey_filter_core::upstream::call::UpstreamCall;
use latchkey_filter_core::upstream::forward::Forward;
use latchkey_proto::key::KeyHash;
use latchkey_service::explain::{Answer, Question};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::headers;
use crate::problem::Problem;

/// No model's answer has more.
const MOST_TOKENS: u64 = 1_000_000_000;

/// A request that nobody sends. It carries the key's current secret.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Explain {
    /// A key of the app; null for the app's own.
    pub key_id: Option<Uuid>,
    /// Which API, as logs call it: `chat_completions`, `responses`, …, or `models`. Null for
    /// `chat_completions`, or for what `path` says.
    pub endpoint: Option<String>,
    /// The path with its query, in the place of `endpoint`.
    pub path: Option<String>,
    /// The method; null for the one that the path takes.
    pub method: Option<String>,
    /// The model of a short request; the tool, where `path` is an MCP server's.
    pub model: Option<String>,
    /// How many tokens the answer to a short request may have; null where it does not say.
    #[schema(maximum = 1_000_000_000)]
    pub max_tokens: Option<u64>,
    /// The body, in the place of a short request.
    #[schema(value_type = Value)]
    pub body: Option<Box<RawValue>>,
    /// What it says of who sends it: `x-user-email`, `x-user-token` (a JWT) and `x-conversation-id`.
    #[serde(deserialize_with = "distinct::object")]
    #[schema(value_type = BTreeMap<String, String>, default = json!({}),
        example = json!({"x-user-email": "alice@example.com"}))]
    pub headers: BTreeMap<String, SecretString>,
    /// The client's address. Null: it cannot be told, and no allow-list holds it.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// When the request comes; null for now. Nothing is taken to be used or changed until then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// What a gateway would do with a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// Whether it serves the request.
    pub allowed: bool,
    /// Of its answer; null where the provider answers.
    pub status: Option<u16>,
    /// Why it refuses, for programs; null where it does not. So with the next two.
    pub code: Option<&'static str>,
    /// The rule that decides.
    pub rule: Option<&'static str>,
    /// Why it refuses, for people.
    pub message: Option<String>,
    /// What the client gets; null where the provider answers.
    pub answer: Option<AnswerView>,
    /// What the provider gets; null where the gateway answers.
    pub forward: Option<ForwardView>,
    /// What the request would hold of each limit until it is over.
    pub reserved: Vec<ReservedView>,
    /// The key that was asked about.
    pub key_id: Uuid,
    /// The moment that was asked about.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// An answer of the gateway's own.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AnswerView {
    /// Its headers.
    pub headers: BTreeMap<&'static str, String>,
    /// Its body.
    #[schema(value_type = Object)]
    pub body: Value,
}

/// Where a request goes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ForwardView {
    /// The model, as the client asks for it; of a call of an MCP server's tool, `server/tool`.
    pub model: String,
    /// The model, as the provider is asked for it; empty for an MCP server.
    pub served_model: String,
    /// The provider's name; of an MCP server, `mcp/` and its name.
    pub provider: String,
    /// The host that the provider is asked as.
    pub authority: String,
    /// The path there.
    pub path: String,
    /// How many tokens each answer may have; null where the gateway does not bound it.
    pub max_output_tokens: Option<u64>,
    /// The version of the price that it is charged at; null where the model has none.
    pub price_version: Option<u64>,
    /// The headers that the gateway adds to the answer.
    pub headers: BTreeMap<&'static str, String>,
    /// Of a routing group; null of a model. The fields above are of its first target.
    pub routing: Option<RoutingView>,
}

/// How a routing group serves a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RoutingView {
    /// What puts the first target first: `requests` or `tokens` (its weight: another request may begin elsewhere),
    /// `conversation`, or `client` (`x-latchkey-target`).
    pub chosen_by: &'static str,
    /// In the order in which they are tried. What the app may not use, what has no price where the app has a budget,
    /// and what is beyond the group's number of attempts is not among them.
    pub targets: Vec<ExplainedTargetView>,
    /// The gateways that get no clusters for routing groups, as the configuration of their Envoy is older than these:
    /// requests for groups fail there, unless they have clusters of their own.
    pub without_clusters: Vec<String>,
}

/// A target that may serve a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExplainedTargetView {
    /// The provider's name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// In percent.
    pub weight: u32,
    /// The gateways at which it rests now: these pass it by.
    pub resting_at: Vec<String>,
}

/// Units of a limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReservedView {
    /// `app` or `key`.
    pub owner: &'static str,
    /// The limit, as the settings call it.
    pub name: &'static str,
    /// Requests, tokens or nano-USD.
    pub amount: u64,
}

impl Explain {
    /// The request, which carries the key with this hash.
    ///
    /// # Errors
    /// Fields that do not go together.
    pub fn question(&self, key: KeyHash, now: Timestamp) -> Result<Question, Problem> {
        if self.max_tokens.is_some_and(|tokens| tokens > MOST_TOKENS) {
            return Err(wrong("max_tokens", &format!("must be at most {MOST_TOKENS}")));
        }
        let path = self.path()?;
        let (bare, _) = split_query(&path);
        let taken = Endpoint::parse("POST", bare).err().and_then(|denial| denial.allow).unwrap_or("POST");
        let method = self.method.as_deref().unwrap_or(taken);
        let body = self.body(Endpoint::parse(method, bare).ok())?;
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut headers = vec![
            header(":method", method),
            header(":path", &path),
            header("content-type", "application/json"),
        ];
        headers.extend(headers::read(&self.headers)?);
        Ok(Question { key, headers, body, address: self.address, at: self.at.unwrap_or(now) })
    }

    fn path(&self) -> Result<Cow<'_, str>, Problem> {
        let name = match (self.path.as_deref(), self.endpoint.as_deref()) {
            (Some(_), Some(_)) => return Err(wrong("endpoint", "give `path` or `endpoint`, not both")),
            (Some(path), None) if path.starts_with('/') => return Ok(path.into()),
            (Some(_), None) => return Err(wrong("path", "begin it with `/`")),
            (None, Some("models")) => return Ok("/v1/models".into()),
            (None, name) => name.unwrap_or("chat_completions"),
        };
        let operation = ModelOperation::ALL.into_iter().find(|operation| operation.name() == name);
        let operation = operation.ok_or_else(|| {
            let names: Vec<_> = ModelOperation::ALL.iter().map(|operation| operation.name()).collect();
            wrong("endpoint", &format!("must be one of {} or models", names.join(", ")))
        })?;
        let prefix = match operation.client_api() {
            ClientApi::OpenAi => "/v1/",
            ClientApi::Anthropic => "/anthropic_messages/v1/",
        };
        Ok(format!("{prefix}{}", operation.upstream_path()).into())
    }

    fn body(&self, endpoint: Option<Endpoint>) -> Result<Vec<u8>, Problem> {
        if let Some(body) = &self.body {
            return match (&self.model, self.max_tokens) {
                (None, None) => Ok(body.get().as_bytes().to_vec()),
                (Some(_), _) => Err(wrong("model", "the body names it")),
                (None, Some(_)) => Err(wrong("max_tokens", "the body says it")),
            };
        }
        let operation = match endpoint {
            Some(Endpoint::Call(operation)) => operation,
            Some(Endpoint::Mcp(target)) if target.verb == McpVerb::Post => return Ok(self.message()),
            _ => return Ok(Vec::new()),
        };
        let mut body = short(operation);
        body.extend(self.model.as_ref().map(|model| ("model".to_owned(), json!(model))));
        if let Some(tokens) = self.max_tokens {
            let member = max_output_member(operation, ProviderKind::OpenAiCompatible);
            let member = member.ok_or_else(|| wrong("max_tokens", "the endpoint has no such limit"))?;
            body.insert(member.to_owned(), json!(tokens));
        }
        Ok(Value::Object(body).to_string().into_bytes())
    }

    /// A short message to an MCP server: a call of the tool, where one is named.
    fn message(&self) -> Vec<u8> {
        let (method, params) = match &self.model {
            Some(tool) => ("tools/call", json!({"name": tool, "arguments": {}})),
            None => ("tools/list", json!({})),
        };
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string().into_bytes()
    }
}

/// A short request, but for its model.
fn short(operation: ModelOperation) -> Map<String, Value> {
    let body = match operation {
        ModelOperation::ChatCompletions | ModelOperation::Messages | ModelOperation::CountTokens => {
            json!({"messages": [{"role": "user", "content": "Hello"}]})
        }
        ModelOperation::Embeddings
        | ModelOperation::Responses
        | ModelOperation::Moderations
        | ModelOperation::Speech => {
            json!({"input": "Hello"})
        }
        ModelOperation::Completions | ModelOperation::ImageGenerations => json!({"prompt": "Hello"}),
        ModelOperation::ImageEdits
        | ModelOperation::ImageVariations
        | ModelOperation::Transcriptions
        | ModelOperation::Translations => json!({}),
    };
    body.as_object().cloned().unwrap_or_default()
}

fn wrong(path: &str, message: &str) -> Problem {
    Problem::invalid(FieldError::new(path, message).into())
}

impl Explanation {
    /// What became of `question`, which carried the key with this id.
    #[must_use]
    pub fn new(app_id: Uuid, key_id: Uuid, question: &Question, answer: Answer) -> Self {
        let undecided = Self {
            allowed: true,
            status: None,
            code: None,
            rule: None,
            message: None,
            answer: None,
            forward: None,
            reserved: Vec::new(),
            key_id,
            at: question.at,
        };
        match answer {
            Answer::Reply(reply) => Self::reply(undecided, reply),
            Answer::Forward(forward) => {
                let held = forward.call.reservation().into_iter().flat_map(|reservation| reservation.held());
                let reserved = held.map(|held| ReservedView::new(held, app_id)).collect();
                Self { reserved, forward: Some(ForwardView::from(*forward)), ..undecided }
            }
        }
    }

    fn reply(undecided: Self, reply: Reply) -> Self {
        let Reply { status, headers, body, code, .. } = reply;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let headers = headers.into_iter().map(|(name, value)| (name, value.into_owned())).collect();
        Self {
            allowed: code.is_none(),
            status: Some(status),
            code: code.map(|code| code.as_str()),
            rule: code.map(|code| code.rule()),
            message: body["error"]["message"].as_str().map(ToOwned::to_owned),
            answer: Some(AnswerView { headers, body }),
            ..undecided
        }
    }
}

impl From<&Attempts> for RoutingView {
    /// Without what gateways tell.
    fn from(attempts: &Attempts) -> Self {
        let target = |target: &Rc<RoutingTarget>| ExplainedTargetView {
            provider: target.offer.provider.name.clone(),
            model: target.model.clone(),
            weight: target.weight,
            resting_at: Vec::new(),
        };
        Self {
            chosen_by: match attempts.chosen_by() {
                ChosenBy::Requests => "requests",
                ChosenBy::Tokens => "tokens",
                ChosenBy::Conversation => "conversation",
                ChosenBy::Client => "client",
            },
            targets: attempts.targets().iter().map(target).collect(),
            without_clusters: Vec::new(),
        }
    }
}

impl ReservedView {
    fn new(held: &HeldUnits, app_id: Uuid) -> Self {
        let of_app = held.subject == SubjectId::from(AppId(app_id));
        Self {
            owner: if of_app { "app" } else { "key" },
            name: quota::limit_name(held.kind),
            amount: held.amount,
        }
    }
}

impl From<Forward> for ForwardView {
    fn from(forward: Forward) -> Self {
        let Forward { path, call, response_headers, .. } = forward;
        let (authority, headers) = (call.authority().to_owned(), response_headers.into_iter().collect());
        let output = call.reservation().map_or(0, |reservation| reservation.output_tokens);
        match call {
            UpstreamCall::Model(call) => Self {
                model: call.model,
                served_model: call.served_model,
                provider: call.provider.name.clone(),
                authority,
                path,
                max_output_tokens: output.checked_div(call.bounds.choices).filter(|tokens| *tokens > 0),
                price_version: call.price.as_ref().map(|price| price.version),
                headers,
                routing: call.attempts.map(|attempts| RoutingView::from(&*attempts.borrow())),
            },
            UpstreamCall::Mcp(call) => Self {
                provider: call.server.provider(),
                model: call.tool,
                served_model: String::new(),
                authority,
                path,
                max_output_tokens: None,
                price_version: None,
                headers,
                routing: None,
            },
        }
    }
}

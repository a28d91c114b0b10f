//! What the gate decides about a recorded request under other settings, asked of the gate itself: a gateway in memory
//! for each side. Only what differs between the sides is asked about, with what the record knows of the request.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use jiff::Timestamp;
use latchkey_core::guardrails::GuardrailSettings;
use latchkey_core::identity::IdentitySettings;
use latchkey_core::mcp::McpArgumentRule;
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_core::status::Status;
use latchkey_filter_core::answer::denial::Code;
use latchkey_filter_core::discovery::view::View;
use latchkey_filter_core::gate::{self, BodyDecision, Gate, HeadersDecision, TARGET_HEADER};
use latchkey_filter_core::identity::EMAIL_HEADER;
use latchkey_filter_core::limits::account::Patience;
use latchkey_filter_core::mcp::folded_name;
use latchkey_filter_core::price::Price;
use latchkey_filter_core::request::conversation;
use latchkey_filter_core::request::endpoint::{ClientApi, ModelOperation};
use latchkey_filter_core::request::header::{Header, Headers};
use latchkey_filter_core::request::mcp_endpoint;
use latchkey_filter_core::snapshot::McpEntry;
use latchkey_filter_core::store::memory::Memory;
use latchkey_filter_core::upstream::call::UpstreamCall;
use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;
use latchkey_store::apps::App;
use latchkey_store::feed::traffic::TrafficKey;
use latchkey_store::traffic::TrafficRecord;
use uuid::Uuid;

use super::untold::Untold;
use crate::explain::{self, Question, Refused};

/// What the gate decides, limits apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Why it refuses.
    Refused(&'static str),
    /// Who would serve; none where that costs nothing, or where the record does not say what was asked for.
    Admitted(Option<ServingOffer>),
    /// The record does not say enough.
    Untold(Untold),
}

/// A model of a provider that would serve a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingOffer {
    pub provider: String,
    pub served_model: String,
    /// What it costs now.
    pub price: Option<Rc<Price>>,
}

/// Both states of an app, without what they have in common or what records cannot tell.
#[derive(Clone, Debug)]
pub struct ComparedApps {
    pub now: App,
    pub then: App,
    identity: IdentityChange,
    /// The rules for arguments on both sides, where they differ.
    argument_rules: Option<[Vec<RuleOfTools>; 2]>,
    same_scope: bool,
}

/// A rule for arguments, and the folded names of the tools that it is about.
#[derive(Clone, Debug)]
struct RuleOfTools {
    tools: McpEntry,
    rule: McpArgumentRule,
}

/// How far a record tells what another way to learn of users does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdentityChange {
    Same,
    Differs {
        /// Whether tokens are accepted as they are now.
        same_tokens: bool,
        /// Whether requests whose claims are not in records may be refused for them, or let in.
        learns_more: bool,
    },
}

/// The gateways of one side.
pub struct Side<'a> {
    /// Without limits, and with them: the first says who serves, the second what cannot be bounded.
    free: View<&'a Memory>,
    limited: Option<View<&'a Memory>>,
    by_header: View<&'a Memory>,
    identity: IdentityChange,
    /// What a judgement depends on.
    known: RefCell<HashMap<Asked<'a>, Judgement>>,
    expires_at: Option<Timestamp>,
}

/// The stores of one side.
#[derive(Debug)]
pub struct SideStores {
    free: Memory,
    limited: Option<Memory>,
    by_header: Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked<'a> {
    class: u32,
    model: &'a str,
    provider: &'a str,
    endpoint: &'a str,
    address: &'a str,
    identity: &'a str,
    identity_source: &'a str,
    has_conversation: bool,
    expired: bool,
}

/// Keys that the gate decides about alike: by whether they are somebody's, and their own limits.
#[derive(Clone, Debug, Default)]
pub struct KeyClasses {
    classes: Vec<wire::KeyRecord>,
    of: HashMap<Uuid, u32>,
}

impl ComparedApps {
    #[must_use]
    pub fn new(now: &App, then: &App) -> Self {
        let identity = IdentityChange::between(&now.settings, &then.settings);
        let (mut now, mut then) = (now.clone(), then.clone());
        let (before, after) = (&now.settings, &then.settings);
        let of_tools = |rule: &McpArgumentRule| {
            let tools = McpEntry::new(&rule.tool).folded();
            RuleOfTools { tools, rule: rule.clone() }
        };
        let sides = [before, after].map(|settings| &settings.mcp_argument_rules);
        let argument_rules =
            (sides[0] != sides[1]).then(|| sides.map(|rules| rules.iter().map(of_tools).collect()));
        let same_scope = before.mcp_scope == after.mcp_scope;
        let same_addresses = before.ip_allow_list == after.ip_allow_list;
        let same_conversation = before.require_conversation_id == after.require_conversation_id;
        let same_expiry = before.expires_at == after.expires_at;
        for app in [&mut now, &mut then] {
            // Whoever was let in was let in while it was active.
            app.status = Status::Active;
            let settings = &mut app.settings;
            if same_addresses {
                settings.ip_allow_list = None;
            }
            if same_conversation {
                settings.require_conversation_id = false;
            }
            if same_expiry {
                settings.expires_at = None;
            }
            if identity == IdentityChange::Same {
                settings.identity = IdentitySettings::default();
            }
            settings.guardrails = GuardrailSettings::default();
            settings.custom_categories = Vec::new();
            settings.prompts = Vec::new();
            settings.mcp_argument_rules = Vec::new();
            settings.prompt_required = false;
            // So that a group's target can be asked about.
            settings.target_header = true;
        }
        Self { now, then, identity, argument_rules, same_scope }
    }

    /// Whether it depends on arguments, or on a method that calls no tool, what the proposed settings do with a request:
    /// records have neither.
    #[must_use]
    pub fn depends_on_message(&self, record: &TrafficRecord) -> bool {
        if !is_mcp(record) {
            return false;
        }
        let Some((server, tool)) = record.model.split_once('/') else {
            let is_refused = record.code == Code::McpToolNotAllowed.as_str();
            return is_refused && !(self.same_scope && self.argument_rules.is_none());
        };
        let Some(sides) = &self.argument_rules else { return false };
        let tool = folded_name(tool);
        let [now, then] = sides.each_ref().map(|rules| {
            let is_about = |rule: &&RuleOfTools| rule.tools.is_of(server) && rule.tools.allows(&tool);
            rules.iter().filter(is_about).map(|rule| &rule.rule).collect::<Vec<_>>()
        });
        // Without rules every argument passes, and what a rule has refused may pass by another.
        let may_refuse = !then.is_empty() || record.code == Code::McpArgumentDenied.as_str();
        may_refuse && now != then
    }

    /// Whether addresses decide anything differently.
    #[must_use]
    pub fn compares_addresses(&self) -> bool {
        self.now.settings.ip_allow_list != self.then.settings.ip_allow_list
    }
}

impl IdentityChange {
    fn between(now: &AppSettings, then: &AppSettings) -> Self {
        let (before, after) = (&now.identity, &then.identity);
        // Named keys say who sends a request.
        let named = [now, then].iter().all(|settings| settings.mode == CredentialMode::Named);
        if named || before == after {
            return Self::Same;
        }
        let same_tokens = before.jwt == after.jwt;
        let wants = after.enforce || after.allowed_domains.is_some();
        let believes_more = after.header && !before.header || after.jwt.is_some() && !same_tokens;
        Self::Differs { same_tokens, learns_more: wants && believes_more }
    }
}

impl KeyClasses {
    /// The classes of these keys; one that is gone is taken for what its record says of it.
    pub fn new<'a>(
        app: Uuid,
        keys: &BTreeMap<Uuid, TrafficKey>,
        records: impl Iterator<Item = &'a TrafficRecord>,
    ) -> Self {
        let mut classes = Self::default();
        for record in records {
            let Some(id) = record.key_id.filter(|id| !classes.of.contains_key(id)) else { continue };
            let gone = || TrafficKey {
                user: record.user_id.filter(|_| record.identity_source == "key"),
                ..TrafficKey::default()
            };
            let key = keys.get(&id).cloned().unwrap_or_else(gone);
            // Their status and expiry are no settings of the app: each is as it was when it was let in.
            let class = wire::KeyRecord {
                app_id: app.as_bytes().to_vec(),
                status: wire::Status::Active.into(),
                user_id: key.user.map(|_| Uuid::from_u128(1).as_bytes().to_vec()).unwrap_or_default(),
                limits: key.wire_limits.clone(),
                ..wire::KeyRecord::default()
            };
            let found = classes.classes.iter().position(|known| *known == class);
            let number = found.unwrap_or_else(|| {
                classes.classes.push(class);
                classes.classes.len() - 1
            });
            classes.of.insert(id, u32::try_from(number).unwrap_or(u32::MAX));
        }
        classes
    }

    /// The records with hashes and ids of their own.
    fn records(&self) -> Vec<wire::KeyRecord> {
        let record = |(number, class): (u32, &wire::KeyRecord)| wire::KeyRecord {
            hash: hash(number).as_bytes().to_vec(),
            key_id: Uuid::from_u128(u128::from(number) + 1).as_bytes().to_vec(),
            ..class.clone()
        };
        (0..).zip(&self.classes).map(record).collect()
    }

    fn of(&self, record: &TrafficRecord) -> Option<u32> {
        self.of.get(&record.key_id?).copied()
    }
}

/// Of no secret: nobody sends these requests.
fn hash(class: u32) -> KeyHash {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&class.to_be_bytes());
    KeyHash::from(bytes)
}

impl SideStores {
    /// What the gateways of one side hold.
    ///
    /// # Errors
    /// Gateways refuse it.
    pub fn new(
        catalogue: &wire::Catalogue,
        policy: &wire::AppPolicy,
        classes: &KeyClasses,
        at: Timestamp,
    ) -> Result<Self, Refused> {
        let hold = |policy: wire::AppPolicy, keys: Vec<wire::KeyRecord>| {
            let store = Memory::default();
            explain::hold(&store, Some(catalogue.clone()), vec![policy], keys, at)?;
            Ok::<_, Refused>(store)
        };
        let unlimited = |key: wire::KeyRecord| wire::KeyRecord { limits: None, ..key };
        let free_keys: Vec<_> = classes.records().into_iter().map(unlimited).collect();
        let free = wire::AppPolicy { limits: None, named_key_limits: None, ..policy.clone() };
        // Asked only about bounds and prices, which come after all else.
        let limited = wire::AppPolicy {
            identity: None,
            addresses: None,
            conversation_required: false,
            ..policy.clone()
        };
        let is_limited = policy.limits.is_some()
            || policy.named_key_limits.is_some()
            || classes.classes.iter().any(|class| class.limits.is_some());
        let mut by_header = free.clone();
        // An accepted token says no more than an address that is believed.
        if let Some(identity) = &mut by_header.identity {
            identity.header = true;
        }
        Ok(Self {
            free: hold(free, free_keys.clone())?,
            limited: is_limited.then(|| hold(limited, classes.records())).transpose()?,
            by_header: hold(by_header, free_keys)?,
        })
    }
}

impl<'a> Side<'a> {
    #[must_use]
    pub fn new(stores: &'a SideStores, apps: &ComparedApps, side: &App) -> Self {
        Self {
            free: View::new(&stores.free),
            limited: stores.limited.as_ref().map(View::new),
            by_header: View::new(&stores.by_header),
            identity: apps.identity,
            known: RefCell::default(),
            expires_at: side.settings.expires_at,
        }
    }

    /// Decides about a recorded request.
    pub fn judge(&self, record: &'a TrafficRecord, classes: &KeyClasses, by_address: bool) -> Judgement {
        let Some(class) = classes.of(record) else { return Judgement::Untold(Untold::Request) };
        let asked = Asked {
            class,
            model: &record.model,
            provider: &record.provider,
            endpoint: &record.endpoint,
            address: if by_address { &record.client_address } else { "" },
            identity: if self.identity == IdentityChange::Same { "" } else { &record.identity },
            identity_source: if self.identity == IdentityChange::Same { "" } else { &record.identity_source },
            has_conversation: record.has_conversation,
            expired: self.expires_at.is_some_and(|expiry| record.at >= expiry),
        };
        if let Some(known) = self.known.borrow().get(&asked) {
            return known.clone();
        }
        let judgement = self.decide(&asked, record);
        self.known.borrow_mut().insert(asked, judgement.clone());
        judgement
    }

    fn decide(&self, asked: &Asked<'_>, record: &TrafficRecord) -> Judgement {
        let by_key = record.identity_source == "key";
        let view = match self.identity {
            IdentityChange::Same => &self.free,
            IdentityChange::Differs { .. } if by_key => &self.free,
            IdentityChange::Differs { same_tokens, .. } if record.identity_source == "jwt" => {
                match same_tokens {
                    true => &self.by_header,
                    false => return Judgement::Untold(Untold::Identity),
                }
            }
            IdentityChange::Differs { learns_more: true, .. } if asked.identity.is_empty() => {
                return Judgement::Untold(Untold::Identity);
            }
            IdentityChange::Differs { .. } => &self.free,
        };
        let Some(question) = question(asked, record.at, None) else {
            return Judgement::Untold(Untold::Request);
        };
        let served = match decide(view, &question, record.model.is_empty() && !is_mcp(record)) {
            Decision::Refused(code) => return Judgement::Refused(code),
            Decision::Admitted => return Judgement::Admitted(None),
            Decision::Served(offer) => Some(offer),
            Decision::Grouped(first) => {
                // Where the target that served may still serve, it would have.
                let same = question_for(asked, record).map(|question| decide(view, &question, false));
                match same {
                    Some(Decision::Grouped(same) | Decision::Served(same)) => Some(same),
                    _ => Some(first),
                }
            }
        };
        if let Some(limited) = &self.limited
            && let Decision::Refused(code) = decide(limited, &question, false)
            && is_about_bounds(code)
        {
            return Judgement::Refused(code);
        }
        Judgement::Admitted(served)
    }
}

fn is_mcp(record: &TrafficRecord) -> bool {
    record.endpoint == mcp_endpoint::NAME
}

/// Whether a refusal under limits is for want of a bound or a price, and not of units, which nobody leases here.
fn is_about_bounds(code: &str) -> bool {
    [Code::ModelNotPriced, Code::EndpointNotMetered].iter().any(|known| known.as_str() == code)
}

enum Decision {
    Refused(&'static str),
    Admitted,
    Served(ServingOffer),
    Grouped(ServingOffer),
}

/// Asks the gate. `headers_only`: the record does not say what the body asked for.
fn decide(view: &View<&Memory>, question: &Question, headers_only: bool) -> Decision {
    let refused =
        |code: Option<Code>| code.map_or(Decision::Admitted, |code| Decision::Refused(code.as_str()));
    let admitted = match gate::admit_key(question.key, Headers(&question.headers), view, question) {
        HeadersDecision::Reply(reply) => return refused(reply.code),
        HeadersDecision::NeedBody(_) if headers_only => return Decision::Admitted,
        HeadersDecision::NeedBody(admitted) => admitted,
    };
    let gate = Gate { view, world: question, has_room: true, patience: Patience::Whole };
    match admitted.decide(|| question.body.clone(), &gate) {
        BodyDecision::Reply(reply) => refused(reply.code),
        // Nothing is leased, and no detector is there.
        BodyDecision::Wait(_) | BodyDecision::Ask(_) => Decision::Admitted,
        BodyDecision::Forward(forward) => match forward.call {
            UpstreamCall::Mcp(_) => Decision::Admitted,
            UpstreamCall::Model(call) => {
                let is_group = call.attempts.is_some();
                let (provider, price) = (call.provider.name.clone(), call.price);
                let offer = ServingOffer { provider, served_model: call.served_model, price };
                if is_group { Decision::Grouped(offer) } else { Decision::Served(offer) }
            }
        },
    }
}

fn question_for(asked: &Asked<'_>, record: &TrafficRecord) -> Option<Question> {
    if record.provider.is_empty() { None } else { question(asked, record.at, Some(&record.provider)) }
}

/// The least of a request that the gate decides alike; none where its endpoint is not known any more.
fn question(asked: &Asked<'_>, at: Timestamp, target: Option<&str>) -> Option<Question> {
    let operation = ModelOperation::ALL.into_iter().find(|operation| operation.name() == asked.endpoint);
    let (path, method, body) = match (operation, asked.endpoint) {
        (Some(operation), _) => {
            let prefix = match operation.client_api() {
                ClientApi::OpenAi => "/v1/",
                ClientApi::Anthropic => "/anthropic_messages/v1/",
            };
            let body = serde_json::json!({ "model": asked.model }).to_string();
            (format!("{prefix}{}", operation.upstream_path()), "POST", body)
        }
        (None, mcp_endpoint::NAME) => {
            let server = asked.provider.strip_prefix("mcp/")?;
            let (method, params) = match asked.model.split_once('/') {
                Some((_, tool)) => ("tools/call", serde_json::json!({ "name": tool, "arguments": {} })),
                None => ("tools/list", serde_json::json!({})),
            };
            let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            (format!("/mcp/{server}"), "POST", body.to_string())
        }
        (None, "models") => ("/v1/models".to_owned(), "GET", String::new()),
        (None, _) => return None,
    };
    let header = |name: &str, value: &str| -> Header { (name.to_owned(), value.as_bytes().to_vec()) };
    let mut headers =
        vec![header(":method", method), header(":path", &path), header("content-type", "application/json")];
    if asked.has_conversation {
        headers.push(header(conversation::HEADER, "simulated"));
    }
    if !asked.identity.is_empty() {
        headers.push(header(EMAIL_HEADER, asked.identity));
    }
    headers.extend(target.map(|target| header(TARGET_HEADER, target)));
    let address = asked.address.parse::<IpAddr>().ok();
    Some(Question { key: hash(asked.class), headers, body: body.into_bytes(), address, at })
}

//! Who may call what: every route of the OpenAPI document, asked by every kind of caller.
//!
//! A new route needs one line in [`RULES`]; where its path names a new kind of thing, one in
//! [`Things::thing`]; and where `{}` would not get past its checks, one in [`body`].

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use latchkey_api::openapi;
use latchkey_core::access::{AccessMode, Rule as Access, Subjects};
use latchkey_core::actor::Actor;
use latchkey_core::role::Role;
use latchkey_service::action::apps::update;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Test, id};

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "some rules have no route yet")]
enum Rule {
    /// Whoever asks, with or without a credential.
    Public,
    /// Whoever has a credential.
    Anyone,
    /// Users, whatever their role.
    Person,
    /// The user whose thing it is, or who was granted the app; to other users there is no such thing.
    Mine,
    /// Owners, admins and auditors.
    Reader,
    /// Owners and admins.
    Admin,
    /// Owners.
    Owner,
}
use Rule::*;

/// By operation id.
const RULES: &[(&str, Rule)] = &[
    // Apps.
    ("list_apps", Reader),
    ("create_app", Admin),
    ("read_app", Reader),
    ("read_app_propagation", Reader),
    ("update_app", Admin),
    ("delete_app", Admin),
    ("activate_app", Admin),
    ("deactivate_app", Admin),
    ("revoke_app", Admin),
    ("rotate_app_key", Admin),
    ("read_app_key_value", Admin),
    ("list_versions", Reader),
    ("read_version", Reader),
    ("roll_back", Admin),
    ("simulate_rollback", Reader),
    ("simulate_edit", Reader),
    ("explain_request", Reader),
    ("read_custom_categories", Reader),
    ("set_custom_categories", Admin),
    ("preview_custom_categories", Admin),
    ("list_prompts", Reader),
    ("create_prompt", Admin),
    ("read_prompt", Reader),
    ("delete_prompt", Admin),
    ("create_prompt_version", Admin),
    ("set_prompt_label", Admin),
    ("delete_prompt_label", Admin),
    // Who may do what with an app.
    ("read_self_service", Reader),
    ("update_self_service", Admin),
    ("preview_self_service", Admin),
    ("explain_access", Reader),
    ("list_people_with_access", Reader),
    ("list_groups", Reader),
    ("create_group", Admin),
    ("read_group", Reader),
    ("update_group", Admin),
    ("delete_group", Admin),
    ("list_group_members", Reader),
    ("add_group_members", Admin),
    ("add_group_member", Admin),
    ("remove_group_member", Admin),
    ("list_group_uses", Reader),
    ("list_change_requests", Reader),
    ("list_change_requests_of_app", Reader),
    ("read_change_request", Reader),
    ("approve_change_request", Admin),
    ("reject_change_request", Admin),
    ("start_change_request_trial", Admin),
    ("end_change_request_trial", Admin),
    ("simulate_change_request", Reader),
    // Named keys.
    ("list_all_keys", Reader),
    ("list_keys", Reader),
    ("create_key", Admin),
    ("read_key", Reader),
    ("update_key", Admin),
    ("activate_key", Admin),
    ("deactivate_key", Admin),
    ("revoke_key", Admin),
    ("rotate_key", Admin),
    ("read_key_value", Admin),
    // People.
    ("list_users", Reader),
    ("create_user", Owner),
    ("read_user", Reader),
    ("update_user", Owner),
    ("deactivate_user", Owner),
    ("reactivate_user", Owner),
    ("invite_user", Owner),
    ("unlink_user", Owner),
    ("unlink_users", Owner),
    ("list_user_sessions", Owner),
    ("end_user_sessions", Owner),
    ("list_user_keys", Reader),
    ("revoke_user_keys", Admin),
    ("list_user_groups", Reader),
    ("list_tokens", Owner),
    ("create_token", Owner),
    ("revoke_token", Owner),
    ("bind_token", Owner),
    ("sign_in", Public),
    ("accept_invitation", Public),
    ("sign_out", Person),
    // Providers, MCP servers, external detectors and models.
    ("list_providers", Reader),
    ("create_provider", Admin),
    ("read_provider", Reader),
    ("update_provider", Admin),
    ("delete_provider", Admin),
    ("list_mcp_servers", Reader),
    ("create_mcp_server", Admin),
    ("read_mcp_server", Reader),
    ("update_mcp_server", Admin),
    ("delete_mcp_server", Admin),
    ("list_mcp_tools", Reader),
    ("approve_mcp_tool", Admin),
    ("approve_new_mcp_tools", Admin),
    ("reject_mcp_tool", Admin),
    ("forget_mcp_tool", Admin),
    ("list_routing_groups", Reader),
    ("create_routing_group", Admin),
    ("read_routing_group", Reader),
    ("update_routing_group", Admin),
    ("delete_routing_group", Admin),
    ("list_detectors", Reader),
    ("create_detector", Admin),
    ("read_detector", Reader),
    ("update_detector", Admin),
    ("delete_detector", Admin),
    ("list_models", Reader),
    ("create_model", Admin),
    ("read_model", Reader),
    ("update_model", Admin),
    ("delete_model", Admin),
    ("list_model_prices", Reader),
    ("read_model_density", Reader),
    ("list_catalogue", Reader),
    // What happened.
    ("list_gateways", Reader),
    ("forget_gateway", Admin),
    ("list_lost_gateways", Reader),
    ("write_off_lost_gateway", Admin),
    ("list_jwk_sets", Reader),
    ("list_logs", Reader),
    ("export_logs", Reader),
    ("export_findings", Reader),
    ("export_usage", Reader),
    ("list_findings", Reader),
    ("read_findings_summary", Reader),
    ("read_usage", Reader),
    ("list_events", Reader),
    // Webhooks.
    ("read_email_status", Admin),
    ("read_my_email", Person),
    ("update_my_email", Person),
    ("test_my_email", Person),
    ("list_webhooks", Admin),
    ("create_webhook", Admin),
    ("read_webhook", Admin),
    ("update_webhook", Admin),
    ("delete_webhook", Admin),
    ("rotate_webhook_secret", Admin),
    ("test_webhook", Admin),
    ("list_deliveries", Admin),
    ("read_delivery", Admin),
    ("replay_delivery", Admin),
    ("replay_deliveries", Admin),
    ("list_audit", Reader),
    ("export_audit", Reader),
    // A user's own: `/me` and what is below it. Routes about an app or a thing of a user are `Mine`.
    ("read_me", Person),
    ("change_password", Person),
    ("list_my_sessions", Person),
    ("end_my_session", Mine),
    ("list_my_tokens", Person),
    ("create_my_token", Person),
    ("revoke_my_token", Mine),
    ("list_my_apps", Person),
    ("read_my_app", Mine),
    ("read_my_app_key_value", Mine),
    ("list_my_keys_without_access", Person),
    ("list_my_keys", Mine),
    ("create_my_key", Mine),
    ("read_my_key", Mine),
    ("update_my_key", Mine),
    ("rotate_my_key", Mine),
    ("revoke_my_key", Mine),
    ("read_my_key_value", Mine),
    ("list_my_logs", Person),
    ("read_my_usage", Person),
    ("list_my_app_logs", Mine),
    ("export_my_app_logs", Mine),
    ("export_my_app_findings", Mine),
    ("export_my_app_usage", Mine),
    ("list_my_findings", Person),
    ("list_my_app_findings", Mine),
    ("read_my_app_findings_summary", Mine),
    ("read_my_app_usage", Mine),
    ("read_my_app_settings", Mine),
    ("preview_change_request", Mine),
    ("submit_change_request", Mine),
    ("list_my_change_requests", Person),
    ("read_my_change_request", Mine),
    ("withdraw_change_request", Mine),
];

/// What to send, where it takes more than `{}` to get past the checks of the body.
fn body(operation: &str, things: &Things) -> Value {
    match operation {
        "create_app" => json!({"name": "Another"}),
        "create_key" => json!({"user_id": things.alice, "name": "second"}),
        "preview_change_request" => json!({"kind": "set_tags", "edit": {"tags": ["red"]}}),
        "submit_change_request" => {
            json!({"kind": "set_tags", "edit": {"tags": ["red"]}, "reason": "why not"})
        }
        "create_my_key" | "update_my_key" => json!({"name": "another"}),
        "create_user" => json!({"email": "new@acme.com", "name": "new"}),
        "create_provider" => {
            json!({"name": "new", "kind": "openai", "base_url": "https://api.openai.com/v1"})
        }
        "create_detector" => json!({"name": "new", "url": "https://detector.acme.com/judge"}),
        "create_mcp_server" => json!({"name": "new", "url": "https://mcp.acme.com/mcp"}),
        "approve_mcp_tool" => json!({"hash": "00"}),
        "approve_new_mcp_tools" => json!({"hashes": []}),
        "create_routing_group" => {
            json!({"name": "new", "targets": [{"provider": "openai", "model": "gpt-4o", "weight": 100}]})
        }
        "create_model" => json!({"name": "gpt-4o-mini", "provider": "openai"}),
        "create_webhook" => {
            json!({"name": "new", "url": "https://hooks.acme.com/", "events": ["*"], "apps": "all"})
        }
        "replay_deliveries" => json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
        _ => json!({}),
    }
}

/// Things that exist, so that a 404 for want of one is not taken for a refusal.
struct Things {
    app: String,
    key: String,
    model: String,
    provider: &'static str,
    server: String,
    routing_group: String,
    alice: String,
    /// Someone else, in `group`.
    user: String,
    group: String,
    request: String,
    session: String,
    token: String,
    identity: String,
    webhook: String,
    delivery: String,
}

impl Things {
    async fn new(test: &Test, alice: &str) -> Self {
        let app = test.app(json!({"mode": "named", "keep_key_values": true})).await;
        grant(test, &id(&app), alice).await;
        let body = json!({"user_id": alice, "name": "laptop"});
        let key = test.post(&format!("/apps/{}/keys", id(&app)), body).await.expect(201.try_into().unwrap());
        // A provider that a model or an app refers to is not deleted, so what is deleted is of its own.
        let name = test.world.id().simple().to_string();
        let model = json!({"name": name, "provider": "openai"});
        let model = test.post("/models", model).await.expect(201.try_into().unwrap());
        let server = json!({"name": name, "url": "https://mcp.acme.com/mcp"});
        test.post("/mcp-servers", server).await.expect(201.try_into().unwrap());
        test.sql(&[format!(
            "INSERT INTO mcp_tools (server, name, state, seen_hash, seen_at, first_seen_at) VALUES ('{name}', 'add', 'new', '00', 0, 0)"
        )])
        .await;
        let targets = json!([{"provider": "openai", "model": "gpt-4o", "weight": 100}]);
        let routing_group = json!({"name": name, "targets": targets});
        let routing_group = test.post("/routing-groups", routing_group).await.expect(201.try_into().unwrap());
        let detector = json!({"name": name, "url": "https://detector.acme.com/judge"});
        test.post("/detectors", detector).await.expect(201.try_into().unwrap());
        // There may be a hundred; the first stands for what is only looked at.
        test.sql(&["DELETE FROM webhooks WHERE rowid > (SELECT MIN(rowid) FROM webhooks)".to_owned()]).await;
        let webhook =
            json!({"name": name, "url": "https://hooks.acme.com/", "events": ["quota.*"], "apps": "all"});
        let webhook = id(&test.post("/webhooks", webhook).await.expect(201.try_into().unwrap()));
        test.act(&format!("/webhooks/{webhook}/test")).await.expect(202.try_into().unwrap());
        let deliveries = test.get(&format!("/webhooks/{webhook}/deliveries")).await;
        let delivery = deliveries.json["items"][0]["id"].to_string();
        let user = test.user(&format!("{name}@acme.com")).await;
        let group = test.group(&name, &[&user]).await;
        test.post(
            &format!("/apps/{}/prompts", id(&app)),
            json!({"name": "hello", "text": "Hi", "labels": ["production"]}),
        )
        .await
        .expect(201.try_into().unwrap());
        drop(test.gateway("edge-1", 0));
        let own = test.token_of(alice).await;
        let mine = async |path: &str, body: Value| {
            test.with(&own, "POST", path, Some(body)).await.expect(201.try_into().unwrap())
        };
        let wish = json!({"kind": "set_tags", "edit": {"tags": ["blue"]}, "reason": "why not"});
        let request = mine(&format!("/me/apps/{}/change-requests", id(&app)), wish).await;
        let token = mine("/me/tokens", json!({"name": "laptop"})).await;
        let (session, identity) = (test.world.id().to_string(), test.world.id().to_string());
        test.sql(&[
            format!(
                "INSERT INTO sessions VALUES ('{session}', '{alice}', randomblob(32), 'password', '', '', {0}, {0}, {1}, NULL)",
                crate::support::START_MS,
                crate::support::START_MS + 1_000_000
            ),
            format!("INSERT INTO identities VALUES ('{identity}', 'https://id.acme.com', '{identity}', '{user}', 0)"),
            // Of a budget, held by a process that is gone.
            format!(
                "INSERT INTO leases (owner, kind, period, instance, gateway, granted, used, returned, local, expires_at)
                 VALUES ('{}', 6, 0, 'edge-1', 'edge-1', 1, 0, 0, 0, 1)",
                id(&app)
            ),
        ])
        .await;
        Self {
            app: id(&app),
            key: id(&key),
            model: id(&model),
            provider: "openai",
            server: name,
            routing_group: id(&routing_group),
            alice: alice.to_owned(),
            user,
            group,
            request: id(&request),
            session,
            token: id(&token),
            identity,
            webhook,
            delivery,
        }
    }

    /// What stands in a path behind this word.
    fn thing(&self, word: &str) -> &str {
        match word {
            "apps" => &self.app,
            "keys" => &self.key,
            "models" => &self.model,
            "providers" => self.provider,
            "mcp-servers" | "detectors" => &self.server,
            "routing-groups" => &self.routing_group,
            "users" | "members" => &self.user,
            "groups" => &self.group,
            "change-requests" => &self.request,
            "sessions" => &self.session,
            "tokens" => &self.token,
            "identities" => &self.identity,
            "webhooks" => &self.webhook,
            "deliveries" => &self.delivery,
            "prompts" => "hello",
            "tools" => "add",
            "labels" => "production",
            "versions" => "1",
            "gateways" | "lost" => "edge-1",
            other => panic!("a path names one of the `{other}`: say in `Things::thing` which exists"),
        }
    }

    fn path(&self, template: &str) -> String {
        let mut path = String::new();
        let mut before = "";
        for segment in template.split('/').skip(1) {
            let part = if segment.starts_with('{') { self.thing(before) } else { segment };
            path.push('/');
            path.push_str(part);
            before = segment;
        }
        path
    }
}

/// Grants every capability of an app to one user.
async fn grant(test: &Test, app: &str, user: &str) {
    let user: Uuid = user.parse().unwrap();
    let actor = Actor::system("test");
    let only = || Access {
        mode: AccessMode::Specific,
        allow: Subjects { users: [user].into(), ..Subjects::default() },
        ..Access::default()
    };
    let mut tx = test.store.begin().await.unwrap();
    update::update(&mut tx, test.api.context(&actor), app.parse().unwrap(), |_, settings| {
        let access = &mut settings.self_service.access;
        (access.viewer, access.settings_request) = (only(), only());
        (access.key_visibility, access.all_logs) = (only(), only());
        Ok(())
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

/// Someone who asks.
struct Caller {
    name: String,
    /// What follows `Authorization: Bearer`.
    token: Option<String>,
    role: Option<Role>,
    /// For a user, whether the things are theirs.
    person: Option<bool>,
}

async fn callers(test: &Test, alice: &str) -> Vec<Caller> {
    let caller = |name: &str, token: Option<String>, role, person| Caller {
        name: name.to_owned(),
        token,
        role,
        person,
    };
    let mut callers = vec![
        caller("nobody", None, None, None),
        caller("garbage", Some("lk_garbage".to_owned()), None, None),
        caller("an app key", Some("sk-quilr-garbage".to_owned()), None, None),
    ];
    for role in Role::ALL {
        let token = test.token(role).await;
        callers.push(caller(
            &format!("a token of the role {}", role.as_str()),
            Some(token),
            Some(role),
            None,
        ));
    }
    for role in [Role::Owner, Role::Admin, Role::Auditor] {
        let person = test.user(&format!("{}@acme.com", role.as_str())).await;
        test.sql(&[format!("UPDATE users SET role = '{}' WHERE id = '{person}'", role.as_str())]).await;
        let token = test.token_of(&person).await;
        callers.push(caller(
            &format!("a person who is {}", role.as_str()),
            Some(token),
            Some(role),
            Some(false),
        ));
    }
    let bob = test.user("bob@acme.com").await;
    for (name, user, theirs) in
        [("a user without any grant", bob.as_str(), false), ("the granted user", alice, true)]
    {
        let token = test.token_of(user).await;
        callers.push(caller(name, Some(token), Some(Role::User), Some(theirs)));
    }
    callers
}

/// What a caller is told: a refusal by status and code, or none.
fn refusal(rule: Rule, caller: &Caller) -> Option<(u16, &'static str)> {
    const FORBIDDEN: Option<(u16, &str)> = Some((403, "forbidden"));
    if rule == Public {
        return None;
    }
    let Some(role) = caller.role else { return Some((401, "unauthorized")) };
    let one_of = |roles: &[Role]| if roles.contains(&role) { None } else { FORBIDDEN };
    match rule {
        Public | Anyone => None,
        Reader => one_of(&[Role::Owner, Role::Admin, Role::Auditor]),
        Admin => one_of(&[Role::Owner, Role::Admin]),
        Owner => one_of(&[Role::Owner]),
        Person if caller.person.is_some() => None,
        Mine if caller.person == Some(true) => None,
        Mine if caller.person == Some(false) => Some((404, "not_found")),
        Person | Mine => Some((403, "not_a_user")),
    }
}

/// Whether an answer says that the caller may not.
fn refused(status: u16, code: &str) -> bool {
    matches!(status, 401 | 403 | 404) || matches!(code, "unauthorized" | "forbidden" | "not_a_user")
}

/// Whether a thing is not there, or not the same, after an operation.
fn destroys(operation: &str) -> bool {
    let verbs = [
        "approve",
        "bind",
        "deactivate",
        "delete",
        "end",
        "forget",
        "reject",
        "remove",
        "revoke",
        "roll",
        "sign",
        "unlink",
        "withdraw",
        "write",
    ];
    operation.split('_').next().is_some_and(|verb| verbs.contains(&verb))
}

struct Operation {
    id: String,
    method: String,
    path: String,
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            operations.push(Operation { id, method: method.to_uppercase(), path: path.clone() });
        }
    }
    operations
}

async fn call(test: &Test, operation: &Operation, things: &Things, caller: &Caller) -> (u16, String) {
    let mut request = Request::builder().method(operation.method.as_str()).uri(things.path(&operation.path));
    if let Some(token) = &caller.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = match operation.method.as_str() {
        "GET" => Body::empty(),
        _ => Body::from(body(&operation.id, things).to_string()),
    };
    test.status(request.header("content-type", "application/json").body(body).unwrap()).await
}

#[test]
fn every_route_has_a_rule_and_every_rule_a_route() {
    let routes: BTreeSet<_> = operations().into_iter().map(|operation| operation.id).collect();
    let rules: BTreeSet<_> = RULES.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    let (without, stale): (Vec<_>, Vec<_>) =
        (routes.difference(&rules).collect(), rules.difference(&routes).collect());
    assert!(without.is_empty(), "routes without a rule: {without:?}");
    assert!(stale.is_empty(), "rules without a route: {stale:?}");
    assert_eq!(rules.len(), RULES.len(), "an operation has two rules");
}

#[tokio::test]
async fn each_caller_may_do_exactly_what_the_rules_say() {
    let test = Test::sqlite().await;
    test.catalogue().await;
    let alice = test.user("alice@acme.com").await;
    let callers = callers(&test, &alice).await;
    let standing = Things::new(&test, &alice).await;
    // What the last call has left as it was.
    let mut spare = None;
    let mut wrong = Vec::new();
    for operation in operations() {
        let Some((_, rule)) = RULES.iter().find(|(id, _)| *id == operation.id) else { continue };
        for caller in &callers {
            let expected = refusal(*rule, caller);
            let answer = if expected.is_some() || operation.method == "GET" {
                let before = test.store.audit_head().await.unwrap();
                let answer = call(&test, &operation, &standing, caller).await;
                if expected.is_some() && before != test.store.audit_head().await.unwrap() {
                    wrong.push(format!(
                        "{} was refused, and yet did something: {}",
                        caller.name, operation.id
                    ));
                }
                answer
            } else {
                let things = match spare.take() {
                    Some(things) => things,
                    None => Things::new(&test, &alice).await,
                };
                let answer = call(&test, &operation, &things, caller).await;
                spare = Some(things).filter(|_| !destroys(&operation.id));
                answer
            };
            let right = match expected {
                Some((status, code)) => (answer.0, answer.1.as_str()) == (status, code),
                None => !refused(answer.0, &answer.1) && answer.0 < 500,
            };
            if !right {
                wrong.push(format!(
                    "{} {} {}: {} is answered {answer:?}, where {rule:?} means {expected:?}",
                    operation.id, operation.method, operation.path, caller.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

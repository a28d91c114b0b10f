//! A company that has used Latchkey a lot, written straight into the database.

use anyhow::Context as _;
use latchkey_proto::discovery::BucketKind;
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::Api;
use serde_json::{Value, json};

pub const PASSWORD: &str = "correct horse battery staple";

/// Apps that share a user: each of them sees so many in the portal.
const GRANTED: u64 = 20;
const USERS: u64 = 1_000;
const KEYS_OF_AN_APP: u64 = 10;

/// Somebody to sign in as.
pub struct Visitor {
    pub name: &'static str,
    pub email: &'static str,
    pub starts: &'static [&'static str],
}

const OWNER: Visitor = Visitor {
    name: "owner",
    email: "owner@example.com",
    starts: &["/admin", "/admin/usage?by=app&model=gpt-4o-mini", "/admin/usage?by=user&provider=sample"],
};
const USER: Visitor = Visitor { name: "user", email: "user@example.com", starts: &["/apps"] };

/// Makes the company, and tells as whom to look at it.
pub async fn fill(stack: &mut Stack, apps: u64, records: u64) -> anyhow::Result<[Visitor; 2]> {
    person(stack.api(), &OWNER, "owner").await?;
    let user = person(stack.api(), &USER, "user").await?;
    let closed = stack.api().create_app(json!({ "name": "app-0", "limits": limits() })).await?;
    let open = json!({ "name": "app-1", "mode": "named", "limits": limits(), "named_key_limits": limits() });
    let open = stack.api().create_app(open).await?;
    let everyone =
        json!({ "access": { "viewer": { "mode": "everyone" }, "settings_request": { "mode": "everyone" } } });
    stack.api().edit(&format!("{}/self-service", open.path()), everyone).await?;

    stack.control_plane().stop().await?;
    for (what, statement) in statements(&closed.id, &open.id, &user, apps, records) {
        stack.control_plane().sql(&statement).await.context(what)?;
    }
    stack.control_plane().start().await?;
    Ok([OWNER, USER])
}

/// Limits that nobody reaches.
fn limits() -> Value {
    json!({ "requests_per_minute": 100_000, "requests_per_day": 1_000_000, "tokens_per_minute": 10_000_000,
        "budget": { "usd": "1000000", "per": "month" } })
}

/// Creates somebody who can sign in, and tells their id.
async fn person(api: &Api, visitor: &Visitor, role: &str) -> anyhow::Result<String> {
    let body = json!({ "email": visitor.email, "name": visitor.name, "role": role });
    let user = api.post("/api/v1/users", body).await?.ok()?;
    let id = user["id"].as_str().context("a user has an id")?.to_owned();
    let invitation = api.post(&format!("/api/v1/users/{id}/invite"), json!({})).await?.ok()?;
    let body = json!({ "token": invitation["token"], "password": PASSWORD });
    api.post("/api/v1/auth/invitation", body).await?.ok()?;
    Ok(id)
}

/// The sums by fewer things; empty for what they are not by.
fn broad(dimension: &str, [value, model, provider]: [&str; 3]) -> String {
    format!(
        "INSERT INTO usage_sums SELECT '{dimension}', day, {value} AS value, {model} AS of_model, {provider} AS of_provider,
         SUM(requests), SUM(denied), SUM(input_tokens), SUM(cached_input_tokens), SUM(output_tokens),
         SUM(reasoning_tokens), SUM(cost) FROM usage_days GROUP BY day, value, of_model, of_provider"
    )
}

/// What was used of the month's budgets.
fn budgets(owner: &str) -> String {
    format!(
        "INSERT INTO buckets (owner, kind, period, used, slots)
         SELECT {owner}, {kind}, CAST(unixepoch('now', 'start of month') AS INTEGER) * 1000 + 2,
         SUM(cost), '[]' FROM usage_days WHERE day >= CAST(unixepoch('now', 'start of month') AS INTEGER) / 86400
         GROUP BY {owner}",
        kind = i32::from(BucketKind::CostBudget)
    )
}

/// What fills the tables, in order. App `n` is a copy of one of two: few are open to everyone.
fn statements(closed: &str, open: &str, user: &str, apps: u64, records: u64) -> Vec<(&'static str, String)> {
    let count = |most: u64| {
        format!("WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {most})")
    };
    let id = |kind: u8, number: &str| format!("printf('0190000{kind}-0000-7000-8000-%012x', {number})");
    let like = format!("CASE WHEN i <= {GRANTED} THEN '{open}' ELSE '{closed}' END");
    let (app, key, named, person) = (id(1, "i"), id(2, "i"), id(3, "i"), id(4, "i"));
    // Key `k` is of the app and the user that follow from its number; record `i` is of key `k`.
    let of_key = |k: &str| {
        let user = format!(
            "CASE WHEN {k} % 10 = 0 THEN '{user}' ELSE {} END",
            id(4, &format!("2 + {k} % ({USERS} - 1)"))
        );
        (id(1, &format!("2 + {k} % ({apps} - 1)")), user)
    };
    let (keys_app, keys_user) = of_key("i");
    let used = format!("(2 + i % ({apps} * {KEYS_OF_AN_APP} - 1))");
    let (used_app, used_user) = of_key(&used);
    let used_key = id(3, &used);
    vec![
        ("users", format!(
            "{} INSERT INTO users (id, email, name, role, created_at)
             SELECT {person}, 'user-' || i || '@example.com', 'User ' || i, 'user', 1700000000000 FROM n", count(USERS))),
        ("apps", format!(
            "{} INSERT INTO apps (id, name, status, settings, created_at, updated_at, revision)
             SELECT {app}, 'app-' || i, 'active', settings, created_at, updated_at, revision
             FROM n JOIN apps ON apps.id = {like}", count(apps))),
        ("access", format!(
            "{} INSERT INTO app_subjects (app_id, capability, list, kind, subject)
             SELECT {app}, capability, list, kind, subject FROM n JOIN app_subjects ON app_id = {like}", count(apps))),
        ("versions", format!(
            "{} INSERT INTO app_versions
                (app_id, number, at, operation, actor_kind, actor_id, actor_name, name, settings, changed)
             SELECT {app}, number, at, operation, actor_kind, actor_id, actor_name, 'app-' || i, settings, changed
             FROM n JOIN app_versions ON app_id = {like}", count(apps))),
        ("app keys", format!(
            "{} INSERT INTO keys (id, app_id, name, status, created_at, hash, revision)
             SELECT {key}, {app}, 'app key', 'active', 1700000000000, randomblob(32), 1 FROM n", count(apps))),
        ("named keys", format!(
            "{} INSERT INTO keys (id, app_id, user_id, name, status, created_at, hash, revision)
             SELECT {named}, {keys_app}, {keys_user}, 'key-' || i, 'active',
                1700000000000, randomblob(32), 1 FROM n",
            count(apps * KEYS_OF_AN_APP))),
        ("records", format!(
            "{} INSERT INTO records (at, request_id, gateway, app_id, key_id, user_id, model, served_model, provider,
                endpoint, status, code, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost,
                price_version, settlement, latency_ms, first_token_ms, streamed, client_address, conversation_id,
                metadata, identity_source)
             SELECT CAST(unixepoch() AS INTEGER) * 1000 - ({records} - i) * (30 * 86400000 / {records}),
                printf('%032x', i), 'gateway-0', {used_app}, {used_key}, {used_user},
                CASE i / 7 % 3 WHEN 0 THEN 'gpt-4o' ELSE 'gpt-4o-mini' END, 'gpt-4o-mini-2024-07-18', 'sample',
                'chat_completions', CASE WHEN i % 40 = 0 THEN 429 WHEN i % 997 = 0 THEN 502 ELSE 200 END,
                CASE WHEN i % 40 = 0 THEN 'rate_limit_exceeded' ELSE '' END, 319, 0, 10, 0, 53850, 1, 'reported',
                200 + i % 900, 230, i % 2, '192.0.2.7', '', '{{}}', 'key' FROM n",
            count(records))),
        ("sums", "INSERT INTO usage_days SELECT at / 86400000, app_id, key_id, user_id, model, provider, COUNT(*),
             SUM(code <> ''), SUM(input_tokens), SUM(cached_input_tokens), SUM(output_tokens), SUM(reasoning_tokens),
             SUM(cost) FROM records GROUP BY 1, 2, 3, 4, 5, 6".to_owned()),
        ("broad sums", broad("all", ["''", "model", "provider"])),
        ("broad sums of apps", broad("app", ["app_id", "''", "''"])),
        ("broad sums of users", broad("user", ["user_id", "''", "''"])),
        ("broad sums of apps by model", broad("app_model", ["app_id", "model", "provider"])),
        ("broad sums of users by model", broad("user_model", ["user_id", "model", "provider"])),
        ("broad sums of apps by provider", broad("app_provider", ["app_id", "''", "provider"])),
        ("broad sums of users by provider", broad("user_provider", ["user_id", "''", "provider"])),
        ("budgets of apps", budgets("app_id")),
        ("budgets of keys", budgets("key_id")),
        ("sums of keys", "INSERT INTO key_usage (key_id, app_id, requests, last_used_at)
             SELECT key_id, MAX(app_id), COUNT(*), MAX(at) FROM records GROUP BY key_id".to_owned()),
        ("sums of apps", "INSERT INTO app_usage (app_id, requests, last_used_at)
             SELECT app_id, COUNT(*), MAX(at) FROM records GROUP BY app_id".to_owned()),
        ("events", format!(
            "{} INSERT INTO events (at, kind, app_id, key_id, data)
             SELECT CAST(unixepoch() AS INTEGER) * 1000 - i * 60000, 'request.rate_limited', {app}, '', '{{}}' FROM n",
            count(apps))),
    ]
}

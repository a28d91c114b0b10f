//! How long it takes to say what someone may see, and to stop the keys of those who leave a group, in a large
//! company.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use latchkey_tests::stack::Stack;
use reqwest::{Client, Method};
use serde_json::json;

use crate::report::Report;
use crate::statistics::percentile;

const USERS: u64 = 10_000;
const GROUPS: u64 = 1_000;
const APPS: u64 = 1_000;

/// Groups that a claim fills, each with an app whose keys stop with the access.
const LARGE: u64 = 5;
const MEMBERS: u64 = 5_000;

/// Users who ask, and how often each does.
const ASKERS: u64 = 100;
const TIMES: usize = 5;

const MOST_MS: f64 = 20.0;
const MOST_SECONDS: f64 = 1.0;

/// Measures both.
pub async fn measure() -> anyhow::Result<Report> {
    let mut stack = Stack::builder().gateways(0).start().await?;
    fill(&mut stack).await?;
    // Only now, since it would not learn of what was written past the API.
    stack.add_gateway(stack.options("gateway")).await?;
    let mut report = Report::new("Access, on SQLite");
    report.note("users, groups, apps", format!("{USERS}, {GROUPS}, {APPS}"));
    let asked = ask(&stack).await?;
    let ms = |value: f64| format!("{value:.1} ms");
    report.note("GET /me/apps, half of the requests", ms(percentile(asked.iter().copied(), 50)));
    report.at_most("GET /me/apps, 99 % of the requests", percentile(asked.iter().copied(), 99), MOST_MS, ms);
    let stopped = stop(&stack).await?;
    let seconds = |value: f64| format!("{value:.2} s");
    let what = "a group's 5,000 members leave: until the gateway has stopped their keys";
    report.at_most(what, percentile(stopped.iter().copied(), 100), MOST_SECONDS, seconds);
    Ok(report)
}

/// How long each request took, in milliseconds.
async fn ask(stack: &Stack) -> anyhow::Result<Vec<f64>> {
    let (client, url) = (Client::new(), format!("{}/api/v1/me/apps", stack.api().url()));
    let mut asked = vec![];
    for number in 1..=ASKERS {
        let user = id(4, number * (USERS / ASKERS));
        let body = json!({ "name": "bench", "role": "user", "user_id": user });
        let token = stack.api().post("/api/v1/tokens", body).await?.ok()?;
        let token = token["value"].as_str().context("a token has a value")?.to_owned();
        for _ in 0..TIMES {
            let begun = Instant::now();
            let answer = client.get(&url).bearer_auth(&token).send().await?.error_for_status()?;
            let apps: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
            asked.push(begun.elapsed().as_secs_f64() * 1e3);
            ensure!(
                apps["items"].as_array().is_some_and(|apps| !apps.is_empty()),
                "user {number} sees no app"
            );
        }
    }
    Ok(asked)
}

/// How long each change took to be in force, in seconds.
async fn stop(stack: &Stack) -> anyhow::Result<Vec<f64>> {
    let mut stopped = vec![];
    for number in 1..=LARGE {
        stack.until_synced().await?;
        let begun = Instant::now();
        let path = format!("/api/v1/groups/{}", id(9, number));
        stack.api().send(Method::PATCH, &path, Some(json!({ "claim": null }))).await?.ok()?;
        stack.until_synced().await?;
        stopped.push(begun.elapsed().as_secs_f64());
    }
    Ok(stopped)
}

/// Writes the company straight into the database. App `n` is a copy of the first, for other groups.
async fn fill(stack: &mut Stack) -> anyhow::Result<()> {
    write(stack, &people()).await?;
    let allow = json!({ "groups": [id(3, 1), id(3, 2), id(3, 3)] });
    let pattern = granted(stack, "app-0", allow).await?;
    let mut statements = apps(&pattern);
    for number in 1..=LARGE {
        let app = granted(stack, &format!("large-{number}"), json!({ "groups": [id(9, number)] })).await?;
        statements.push(format!(
            "{} INSERT INTO keys (id, app_id, user_id, name, status, created_at, hash, revision)
             SELECT {}, '{app}', {}, 'key', 'active', 1700000000000, randomblob(32), 1 FROM n",
            count(MEMBERS),
            sql_id(2, &format!("i + {}", number * MEMBERS)),
            sql_id(4, "i"),
        ));
    }
    write(stack, &statements).await
}

async fn write(stack: &mut Stack, statements: &[String]) -> anyhow::Result<()> {
    stack.control_plane().stop().await?;
    for statement in statements {
        stack.control_plane().sql(statement).await.with_context(|| statement.clone())?;
    }
    stack.control_plane().start().await
}

/// An app in named mode that these may see, and whose keys stop with the access.
async fn granted(stack: &Stack, name: &str, allow: serde_json::Value) -> anyhow::Result<String> {
    let app = stack.api().create_app(json!({ "name": name, "mode": "named" })).await?;
    let access = json!({ "viewer": { "mode": "specific", "allow": allow } });
    let edit = json!({ "access": access, "suspend_keys_on_lost_access": true });
    stack.api().edit(&format!("{}/self-service", app.path()), edit).await?;
    Ok(app.id)
}

fn people() -> Vec<String> {
    let group = |id: &str, name: &str, claim: &str, count: String| {
        format!(
            "{count} INSERT INTO groups (id, name, folded_name, description, claim, created_at, updated_at)
             SELECT {id}, {name} || i, {name} || i, '', {claim}, 1700000000000, 1700000000000 FROM n"
        )
    };
    let member = |group: &str, source: &str, count: String| {
        format!(
            "{count} INSERT OR IGNORE INTO group_members (group_id, user_id, source, added_at)
             SELECT {group}, {}, '{source}', 1700000000000 FROM n",
            sql_id(4, "i")
        )
    };
    let mut statements = vec![
        format!(
            "{} INSERT INTO users (id, email, name, role, created_at)
             SELECT {}, 'user-' || i || '@example.com', 'User ' || i, 'user', 1700000000000 FROM n",
            count(USERS),
            sql_id(4, "i")
        ),
        group(&sql_id(3, "i"), "'group-'", "NULL", count(GROUPS)),
        group(&sql_id(9, "i"), "'large-'", "'large-' || i", count(LARGE)),
    ];
    statements.extend(
        [1, 3, 11, 17, 29]
            .map(|step| member(&sql_id(3, &format!("1 + (i * {step}) % {GROUPS}")), "admin", count(USERS))),
    );
    statements
        .extend((1..=LARGE).map(|number| member(&format!("'{}'", id(9, number)), "claim", count(MEMBERS))));
    statements
}

fn apps(pattern: &str) -> Vec<String> {
    let groups = [1, 7, 31].map(|step| sql_id(3, &format!("1 + (i * {step}) % {GROUPS}")));
    let settings = (1..).zip(&groups).fold("settings".to_owned(), |settings, (number, group)| {
        format!("replace({settings}, '{}', '#' || {group})", id(3, number))
    });
    let app = sql_id(1, "i");
    let mut statements = vec![format!(
        "{} INSERT INTO apps (id, name, status, settings, created_at, updated_at, revision)
         SELECT {app}, 'app-' || i, 'active', replace({settings}, '#', ''), created_at, updated_at, revision
         FROM n JOIN apps ON apps.id = '{pattern}'",
        count(APPS)
    )];
    statements.extend(groups.map(|group| {
        format!(
            "{} INSERT OR IGNORE INTO app_subjects (app_id, capability, list, kind, subject)
             SELECT {app}, 'viewer', 'allow', 'group', {group} FROM n",
            count(APPS)
        )
    }));
    statements
}

fn count(most: u64) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})")
}

fn id(kind: u8, number: u64) -> String {
    format!("0190000{kind}-0000-7000-8000-{number:012x}")
}

fn sql_id(kind: u8, number: &str) -> String {
    format!("printf('0190000{kind}-0000-7000-8000-%012x', {number})")
}

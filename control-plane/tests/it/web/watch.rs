//! What has happened: overview, logs, usage, events, audit log, gateways.

use axum::http::StatusCode;
use latchkey_discovery::session::Progress;
use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{START_MS, Test, id, on_both};

/// An app whose key was used: by a named key of a user, and refused once.
async fn used(test: &Test) -> (Value, Value) {
    let app = test.app(json!({"mode": "named"})).await;
    let key = test.named_key(&app).await;
    let of = |more: Value| {
        let mut row = json!({"app_id": app["id"], "key_id": key["id"], "user_id": key["user_id"],
            "model": "gpt-4o", "provider": "openai"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    test.insert("records", of(json!({"request_id": "first", "cost": 1_500_000_000, "input_tokens": 1200})))
        .await;
    let refused = json!({"request_id": "second", "status": 429, "code": "rate_limit_exceeded",
        "model": "<b>", "at": START_MS + 60_000, "metadata": r#"{"team": "blue"}"#});
    test.insert("records", of(refused)).await;
    let day = START_MS / 86_400_000;
    test.insert("usage_days", of(json!({"day": day, "requests": 4, "denied": 1, "cost": 1_500_000_000})))
        .await;
    test.insert("usage_days", of(json!({"day": day - 13, "requests": 2, "cost": 500_000_000}))).await;
    test.insert("usage_days", of(json!({"day": day - 14, "requests": 900, "cost": 900}))).await;
    (app, key)
}

on_both! {
async fn the_overview_sums_fourteen_days_and_leads_on(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/").await;
    assert_eq!((page.status, page.at.as_str(), page.all("h1")), (200, "/admin", vec!["Overview".to_owned()]));
    assert!(page.main().contains("Get started") && page.main().contains("to do Connect a gateway"));
    let (app, key) = used(&test).await;
    let page = boss.open("/admin").await;
    assert_eq!(page.all(".figures dd"), ["6", "$2.00", "0", "0", "1"]);
    assert_eq!(page.all("rect.bar title").len(), 4 * 14, "a bar for each day");
    let user = format!("/admin/users/{}", key["user_id"].as_str().unwrap());
    for link in [format!("/admin/apps/{}", id(&app)), user, "/admin/logs?model=gpt-4o".to_owned()] {
        assert_eq!(page.all(&format!("a[href='{link}']")).len(), 1, "{link}");
    }
}
}

on_both! {
async fn logs_are_filtered_by_names_and_lead_to_what_they_are_about(test: Test) {
    let (app, key) = used(&test).await;
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let page = eve.open("/admin/logs?app_id=support+bot&status=2xx").await;
    assert_eq!((page.status, page.all("table.logs > tbody > tr").len()), (200, 1), "{}", page.main());
    assert!(page.main().contains("first") && page.main().contains("1,200"));
    let named = format!("/admin/apps/{}/keys/{}", id(&app), id(&key));
    assert_eq!(page.all(&format!("a[href='{named}']")), ["Alice local dev"]);
    let page = eve.open(&format!("/admin/logs?key_id={}&code=rate_limit_exceeded", id(&key))).await;
    assert!(page.text.contains("&lt;b&gt;") || page.text.contains("&#60;b&#62;"), "what clients send is text");
    assert!(page.main().contains(r#"{"team":"blue"}"#) && !page.main().contains("first"), "{}", page.main());
    // The viewer's clock is an hour ahead.
    eve.cookies.push(("latchkey-zone".to_owned(), "Etc%2FGMT-1".to_owned()));
    let page = eve.open("/admin/logs?from=2026-01-01T01:01").await;
    assert!(page.main().contains("second") && !page.main().contains("first"), "{}", page.main());
    assert!(page.main().contains("Jan 1, 2026, 01:01"), "{}", page.main());
    for (wrong, field) in
        [("app_id=none", "app_id"), ("user_id=nobody", "user_id"), ("status=9", "status"), ("from=soon", "from")]
    {
        let page = eve.open(&format!("/admin/logs?{wrong}&model=gpt-4o")).await;
        assert_eq!((page.status, page.all(&format!("#{field}-error")).len()), (422, 1), "{wrong}: {}", page.main());
        assert_eq!(page.attribute("#model", "value").as_deref(), Some("gpt-4o"), "what was typed is kept");
    }
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    for path in ["/admin", "/admin/logs", "/admin/usage", "/admin/events", "/admin/audit", "/admin/gateways"] {
        assert_eq!(alice.open(path).await.status, 403, "{path}");
        assert_eq!(eve.open(path).await.status, 200, "{path}");
    }
}
}

on_both! {
async fn a_denial_says_why_and_leads_to_its_explanation(test: Test) {
    test.catalogue().await;
    let mini = json!({"name": "gpt-4o-mini", "provider": "openai"});
    test.post("/models", mini).await.expect(axum::http::StatusCode::CREATED);
    let app = test.app(json!({"mode": "named", "allowed_models": ["gpt-4o"]})).await;
    let key = test.named_key(&app).await;
    test.insert("records", json!({"request_id": "a b&c", "app_id": app["id"], "key_id": key["id"], "user_id": key["user_id"],
        "model": "gpt-4o-mini", "status": 403, "code": "model_not_allowed", "conversation_id": "c/1",
        "attempts": json!([{"provider": "openai", "model": "org/m", "status": 503, "end": "status", "duration_ms": 4}]).to_string()})).await;
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let page = eve.open("/admin/logs").await;
    let denial = page.all(".logs .more-of").remove(0);
    assert!(denial.contains("The app is not allowed to use this model.") && denial.contains("app.models"), "{denial}");
    for selector in ["a[href^='/admin/logs?conversation_id=']", "a[href^='/admin/logs?target=']"] {
        let found = eve.open(&page.attribute(selector, "href").unwrap()).await;
        assert_eq!(found.all("table.logs .more-of").len(), 1, "{selector}: {}", found.main());
    }
    let why = eve.open(&page.attribute(".more-of a", "href").unwrap()).await;
    assert_eq!(why.status, 200, "{}", why.main());
    assert!(why.main().contains("The rule that applies: app.models"), "{}", why.main());
    assert!(eve.open("/admin/logs/explain?request_id=none").await.main().contains("No log record"));
    for (query, rows) in [("app_id=Support+Bot&key_id=alice+LOCAL+dev", 1), ("finding=pii", 0), ("request_id=a+b%26c", 1)] {
        let page = eve.open(&format!("/admin/logs?{query}")).await;
        assert_eq!((page.status, page.all("table.logs .more-of").len()), (200, rows), "{query}: {}", page.main());
    }
    let page = eve.open("/admin/logs?code=gone").await;
    assert_eq!(page.attribute("#code option[selected]", "value").as_deref(), Some("gone"));
    for wrong in ["key_id=Alice+local+dev", "app_id=Support+Bot&key_id=nothing"] {
        let page = eve.open(&format!("/admin/logs?{wrong}")).await;
        assert_eq!((page.status, page.all("#key_id-error").len()), (422, 1), "{wrong}: {}", page.main());
    }
}
}

on_both! {
async fn logs_are_paged_and_the_filters_stay(test: Test) {
    for number in 0..30 {
        let model = if number % 10 == 0 { "rare" } else { "gpt-4o" };
        test.insert("records", json!({"request_id": format!("r{number}"), "model": model})).await;
    }
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/logs?model=gpt-4o").await;
    assert_eq!(page.all("table.logs > tbody > tr").len(), 25);
    let next = page.attribute("a[rel=next]", "href").unwrap();
    assert!(next.starts_with("/admin/logs?model=gpt-4o&cursor="), "{next}");
    let page = boss.open(&next).await;
    assert_eq!((page.all("table.logs > tbody > tr").len(), page.all("a[rel=next]").len()), (2, 0));
}
}

on_both! {
async fn usage_is_grouped_and_filtered(test: Test) {
    let (app, _) = used(&test).await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/usage?by=app").await;
    assert_eq!(page.all(".figures dd")[0], "906", "{}", page.main());
    assert_eq!(page.all(&format!(".scroll a[href='/admin/apps/{}']", id(&app))), ["Support Bot"]);
    let page = boss.open("/admin/usage?by=app,key&from=2026-01-01&to=2026-01-01&app_id=Support+Bot").await;
    assert_eq!(page.all(".figures dd")[0], "4");
    assert!(page.main().contains("Support Bot / Alice local dev"), "{}", page.main());
    let tab = page.attribute(".tabs a", "href").unwrap();
    assert_eq!(tab, "/admin/usage?by=day&from=2026-01-01&to=2026-01-01&app_id=Support+Bot");
    let page = boss.open("/admin/usage?from=2026-01-02&to=2026-01-01").await;
    assert_eq!((page.status, page.all("[role=alert]").len()), (422, 1), "{}", page.main());
    assert_eq!(boss.open("/admin/usage?model=none").await.all(".empty h2"), ["No usage in this period"]);
}
}

on_both! {
async fn usage_is_charted_by_what_it_is_grouped_by(test: Test) {
    let alice = test.user("alice@acme.com").await;
    test.group("Engineers", &[&alice]).await;
    for number in 0..7_i64 {
        let tags = json!(["all", if number < 3 { "blue" } else { "red" }]);
        let app = test.app(json!({"name": format!("App {number}"), "tags": tags, "metadata": {"cost_center": "4711"}})).await;
        let user = if number < 3 { alice.as_str() } else { "" };
        test.insert("usage_days", json!({"app_id": app["id"], "user_id": user, "model": "gpt-4o", "requests": 2,
            "cost": (number + 1) * 1_000_000_000})).await;
    }
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let legend = async |eve: &mut Visitor<'_>, by: &str| {
        let page = eve.open(&format!("/admin/usage?by={by}")).await;
        assert_eq!((page.status, page.all("figure.chart").len()), (200, 4), "{by}: {}", page.main());
        assert_eq!(page.all(".figures dd")[0], "14", "what is in two groups is once in the totals: {by}");
        page.all(".legend li")
    };
    let by_app = legend(&mut eve, "app").await;
    assert_eq!(by_app.len(), 6 + 6 + 5, "five and the rest, of requests and cost; there were no tokens");
    assert_eq!(by_app[..6], ["App 6 2 requests", "App 5 2 requests", "App 4 2 requests", "App 3 2 requests", "App 2 2 requests",
        "Other 4 requests"]);
    assert_eq!(legend(&mut eve, "tag").await[3..6], ["all $28.00", "red $22.00", "blue $6.00"]);
    assert_eq!(legend(&mut eve, "group").await[..2], ["in no group 8 requests", "Engineers 6 requests"]);
    assert_eq!(legend(&mut eve, "user,model").await[..2], ["app keys (no user) / gpt-4o 8 requests", "alice@acme.com / gpt-4o 6 requests"]);
    assert_eq!(legend(&mut eve, "metadata&metadata_key=cost_center").await[0], "4711 14 requests");
    let page = eve.open("/admin/usage?by=metadata").await;
    assert_eq!(page.all(".empty h2"), ["Which metadata key?"]);
    assert_eq!(page.attribute(".empty a", "href").as_deref(), Some("/admin/usage?by=metadata&metadata_key=cost_center"));
    let page = eve.open("/admin/usage?by=tag").await;
    assert!(page.main().contains("counts in each, and once in the totals"), "{}", page.main());
    assert!(page.attribute("a[download]", "href").unwrap().contains("group_by=tag"));
    assert!(!page.all("figure.chart thead th").contains(&"All".to_owned()) && page.all(".peak").is_empty(), "{}", page.main());
    assert!(eve.open("/admin/usage?by=app").await.all("figure.chart thead th").contains(&"All".to_owned()));

    // Of an earlier version, which took it.
    let app = test.app(json!({"name": "Odd", "tags": ["odd"], "metadata": {"cost_center": "0815"}})).await;
    test.sql(&[format!("UPDATE apps SET settings = replace(settings, '0815', '\\u0000') WHERE id = '{}'", id(&app))]).await;
    for by in ["tag", "metadata&metadata_key=cost_center", "metadata"] {
        assert_eq!(eve.open(&format!("/admin/usage?by={by}")).await.status, 200, "{by}");
    }
    let path = format!("/apps/{}", id(&app));
    let odd = json!({"metadata": {"a": ["\0"]}});
    assert_eq!(test.patch(&path, odd).await.refused(422), ("invalid".to_owned(), "metadata".to_owned()));
}
}

on_both! {
async fn logs_and_usage_of_an_app_stay_within_its_tabs(test: Test) {
    let (app, _) = used(&test).await;
    let other = test.app(json!({"name": "Other"})).await;
    test.insert("records", json!({"request_id": "of-other", "app_id": other["id"]})).await;
    let settings = json!({"allowed_models": ["gpt-4*"], "limits": {"requests_per_minute": 60}});
    test.patch(&format!("/apps/{}", id(&app)), settings).await.expect(StatusCode::OK);
    let mut boss = Visitor::owner(&test).await;
    let path = format!("/admin/apps/{}", id(&app));
    for tab in ["logs", "usage"] {
        let page = boss.open(&format!("{path}/{tab}")).await;
        assert_eq!((page.status, page.all("h1").len()), (200, 1), "{tab}: {}", page.main());
        assert_eq!(page.attribute("nav.tabs a[aria-current]", "href"), Some(format!("{path}/{tab}")), "{tab}");
        assert!(page.main().contains("models: gpt-4* \u{b7} all MCP \u{b7} Requests per minute: 60 \u{b7} no guardrails"), "{}", page.main());
        assert!(page.attribute("a[download]", "href").unwrap().contains(&id(&app)), "an export is of the app");
        assert!(page.attribute("#app_id", "name").is_none(), "its app is not chosen");
        let page = boss.open(&format!("{path}/{tab}?app_id={}", id(&other))).await;
        assert_eq!((page.status, page.all("[role=alert]").len()), (422, 1), "{tab}: {}", page.main());
    }
    let page = boss.open(&format!("{path}/logs")).await;
    assert!(!page.main().contains("of-other"), "{}", page.main());
    let page = boss.open(&format!("{path}/usage?by=model")).await;
    assert_eq!(page.attribute("nav.tabs[aria-label='Group by'] a", "href"), Some(format!("{path}/usage?by=day")));
    test.act(&format!("/apps/{}/key/rotate", id(&app))).await.expect(StatusCode::OK);
    test.act(&format!("/apps/{}/deactivate", id(&app))).await.expect(StatusCode::OK);
    let page = boss.open(&format!("{path}/audit")).await;
    for action in ["key.rotated", "app.deactivated"] {
        assert!(page.main().contains(action), "{action}: {}", page.main());
    }
}
}

on_both! {
async fn events_are_filtered_by_time(test: Test) {
    let (app, _) = used(&test).await;
    let at = |hours: i64| START_MS - hours * 3_600_000;
    for hours in [1, 30] {
        test.insert("events", json!({"at": at(hours), "kind": "quota.threshold", "app_id": app["id"], "key_id": "", "data": "{}"})).await;
    }
    let mut boss = Visitor::owner(&test).await;
    let before = boss.open("/admin/events?kind=quota.threshold").await.all(".scroll > table > tbody > tr").len();
    let rows = async |boss: &mut Visitor<'_>, query: &str| {
        let page = boss.open(&format!("/admin/events?kind=quota.threshold&{query}")).await;
        assert_eq!(page.status, 200, "{}", page.main());
        page.all(".scroll > table > tbody > tr").len()
    };
    assert!(before >= 2);
    assert_eq!(rows(&mut boss, "time=24h").await, rows(&mut boss, "from=2025-12-31T00:00").await);
    assert_eq!(rows(&mut boss, "from=2025-12-30T18:00&to=2025-12-31T00:00").await, 1, "the earlier alone");
    let page = boss.open("/admin/events?time=1h&to=2026-01-01T00:00").await;
    assert_eq!((page.status, page.all("#to-error").len()), (422, 1), "{}", page.main());
    assert_eq!(test.get("/events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").await.status, StatusCode::BAD_REQUEST);
}
}

on_both! {
async fn hours_that_were_typed_are_summed_or_said_to_be_too_many(test: Test) {
    let (app, _) = used(&test).await;
    test.insert("records", json!({"at": START_MS - 30 * 60_000, "app_id": app["id"], "repeats": 7})).await;
    let mut boss = Visitor::owner(&test).await;
    for path in ["/admin", "/admin/usage"] {
        let page = boss.open(&format!("{path}?from=2025-12-31T23:00&to=2026-01-01T00:00")).await;
        assert_eq!(page.attribute("#from", "value").as_deref(), Some("2025-12-31T23:00"), "{path}");
        assert_eq!(page.attribute("#from", "type").as_deref(), Some("datetime-local"), "{path}");
        assert_eq!(page.all(".figures dd")[0], "7", "{path}: {}", page.main());
        let page = boss.open(&format!("{path}?from=2025-12-20T09:30&to=2025-12-31T10:00")).await;
        assert!(page.main().contains("eriods longer than 48 hours are shown in whole days"), "{path}: {}", page.main());
        let page = boss.open(&format!("{path}?from=2025-12-20&to=2025-12-31")).await;
        assert_eq!(page.attribute("#from", "type").as_deref(), Some("date"), "{path}: a day stays one");
        assert!(!page.main().contains("48 hours"), "{path}");
    }
}
}

on_both! {
/// The clock stands at the first midnight of January.
async fn a_budget_says_how_it_ends_at_this_rate(test: Test) {
    let app = test.app(json!({"limits": {"budget": {"usd": "10", "per": "month"}}})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    let spent = json!({"owner": app["id"], "kind": 6, "period": START_MS + 2, "used": 2_000_000_000_i64, "slots": ""});
    test.insert("buckets", spent).await;
    let budget = async || test.get(&format!("/apps/{}", id(&app))).await.json["usage"]["budget"].clone();
    assert_eq!(budget().await.get("spent_at"), None, "the month has just begun");
    test.clock.advance(std::time::Duration::from_secs(4 * 86_400));
    assert_eq!(budget().await["spent_at"], "2026-01-21T00:00:00Z");
    assert_eq!(budget().await.get("percent_at_reset"), None);
    let mut boss = Visitor::owner(&test).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let (console, portal) = (format!("/admin/apps/{}", id(&app)), format!("/apps/{}", id(&app)));
    for page in [boss.open(&console).await, alice.open(&portal).await, boss.open("/admin/apps").await] {
        assert!(page.main().contains("At this rate, spent by Jan 21"), "{}", page.main());
    }
    test.clock.advance(std::time::Duration::from_secs(6 * 86_400));
    assert_eq!(budget().await["percent_at_reset"], 62);
    let page = Visitor::with_role(&test, "eve@acme.com", "auditor").await.open(&console).await;
    assert!(page.main().contains("At this rate, 62% used when it resets"), "{}", page.main());
}
}

on_both! {
/// The clock stands at midnight: what was used of late was used yesterday.
async fn a_time_is_chosen_and_kept_and_short_ones_are_by_hour(test: Test) {
    let (app, key) = used(&test).await;
    let late = json!({"request_id": "late", "at": START_MS - 5 * 60_000, "app_id": app["id"], "key_id": key["id"],
        "user_id": key["user_id"], "model": "gpt-4o", "cost": 2_000_000_000, "inspected": 1, "findings": 1});
    test.insert("records", late).await;
    test.insert("findings", json!({"request_id": "late", "at": START_MS - 5 * 60_000, "app_id": app["id"], "category": "pii"})).await;
    let mut boss = Visitor::owner(&test).await;
    for (time, bars, cost) in [("1h", 60, "$2.00"), ("24h", 24, "$2.00"), ("7d", 7, "$1.50"), ("week", 4, "$1.50"), ("month", 31, "$0.50")] {
        for path in ["/admin", "/admin/usage"] {
            let page = boss.open(&format!("{path}?time={time}&from=&to=")).await;
            assert_eq!((page.status, page.all("figure.chart").len()), (200, 4), "{path} {time}: {}", page.main());
            assert_eq!(page.all("rect.bar title").len(), 4 * bars, "{path} {time}");
            assert_eq!(page.all(".figures dd")[1], cost, "{path} {time}");
            assert_eq!(page.attribute("#time option[selected]", "value").as_deref(), Some(time));
        }
    }
    let page = boss.open("/admin/usage?time=1h&by=day").await;
    assert!(page.main().contains("Dec 31, 23:55"), "a row of the minute: {}", page.main());
    assert!(page.attribute(".tabs a:nth-child(2)", "href").unwrap().contains("time=1h"), "tabs keep the time");
    let all = boss.open("/admin?time=24h").await;
    assert!(all.attribute("a[href^='/admin/usage']:not(nav a)", "href").unwrap().ends_with("&time=24h"), "so does the overview");
    assert_eq!(boss.open("/admin/usage").await.attribute("#time option[selected]", "value").as_deref(), Some("30d"));
    for (query, rows) in [("time=1h", 3), ("time=month", 1), ("time=week", 3), ("from=2026-01-01T00:01", 1), ("time=custom&to=2026-01-01T00:00", 1)] {
        let page = boss.open(&format!("/admin/logs?{query}")).await;
        assert_eq!((page.status, page.all("table.logs > tbody > tr:not(.more-of)").len()), (200, rows), "{query}: {}", page.main());
    }
    for (path, more) in [("/admin/findings", ""), ("/admin/logs", "&findings=true"), ("/admin/audit", "&action=app.created")] {
        let page = boss.open(&format!("{path}?time=24h{more}")).await;
        assert_eq!((page.status, page.all(".scroll > table > tbody > tr").len()), (200, 1), "{path}: {}", page.main());
        let page = boss.open(&format!("{path}?time=month{more}")).await;
        assert_eq!(page.attribute("#time option[selected]", "value").as_deref(), Some("month"), "{path}");
        for (wrong, field) in [("time=2h", "time"), ("time=1h&to=2026-01-01T00:00", "to"), ("time=custom", "from")] {
            let page = boss.open(&format!("{path}?{wrong}")).await;
            assert_eq!((page.status, page.all(&format!("#{field}-error")).len()), (422, 1), "{path}?{wrong}: {}", page.main());
        }
    }
    let typed = boss.open("/admin/logs?from=2026-01-01T00:01").await;
    assert_eq!(typed.attribute("#time option[selected]", "value").as_deref(), Some("custom"), "typing chooses");
    let page = boss.open("/admin/findings?time=24h").await;
    assert_eq!(page.all("rect.bar title").len(), 24, "{}", page.main());
    for requests in [1, 2] {
        test.insert("records", json!({"at": START_MS - 40 * 3_600_000, "app_id": app["id"]})).await;
        test.insert("usage_days", json!({"day": START_MS / 86_400_000 - 2, "app_id": app["id"], "model": requests.to_string()})).await;
        let page = boss.open("/admin/usage?from=2025-12-30&to=2025-12-30").await;
        assert_eq!(page.all("rect.bar title").len(), 4 * 24, "one day is by hour: {}", page.main());
        assert_eq!(page.all(".figures dd")[0], requests.to_string());
    }
    test.insert("usage_days", json!({"day": START_MS / 86_400_000 - 2, "app_id": app["id"], "model": "3"})).await;
    let page = boss.open("/admin/usage?from=2025-12-30&to=2025-12-30").await;
    assert_eq!(page.all("rect.bar title").len(), 4, "the logs do not have them all");
    for page in ["/admin?time=1h&from=2026-01-01", "/admin/usage?time=1h&from=2026-01-01"] {
        let page = boss.open(page).await;
        assert_eq!((page.status, page.all("#from-error").len()), (422, 1), "{}", page.main());
    }
}
}

on_both! {
/// Pages of a list keep the time that was chosen.
async fn a_chosen_time_stays_on_the_next_page(test: Test) {
    for number in 0..30 {
        test.insert("records", json!({"request_id": format!("r{number}"), "at": START_MS - 1000})).await;
    }
    let mut boss = Visitor::owner(&test).await;
    let next = boss.open("/admin/logs?time=1h").await.attribute("a[rel=next]", "href").unwrap();
    assert!(next.starts_with("/admin/logs?time=1h&cursor="), "{next}");
    assert_eq!(boss.open(&next).await.all("table.logs > tbody > tr").len(), 5);
}
}

on_both! {
async fn events_are_told_in_words_and_lead_to_the_key(test: Test) {
    let (app, key) = used(&test).await;
    let data = r#"{"bucket": "cost_budget", "per": "month", "limit": "10", "used": "8", "percent": 80}"#;
    let event = json!({"at": START_MS, "kind": "quota.threshold", "app_id": app["id"], "key_id": key["id"],
        "data": data, "once": "a"});
    test.insert("events", event).await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/events?app_id=Support+Bot&kind=quota.threshold").await;
    assert!(page.main().contains("80% of the budget of $10 per month: $8 used"), "{}", page.main());
    let named = format!("/admin/apps/{}/keys/{}", id(&app), id(&key));
    assert_eq!(page.all(&format!("a[href='{named}']")), ["Alice local dev"]);
    let api = test.get("/events").await.json;
    assert_eq!((&api["items"][0]["app_name"], &api["items"][0]["key_name"]), (&json!("Support Bot"), &json!("Alice local dev")));
    assert_eq!(boss.open("/admin/events?kind=quota.exceeded").await.all(".empty h2"), ["No events match"]);
}
}

on_both! {
async fn the_audit_log_is_filtered_and_leads_to_what_was_done_to(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/groups/new").await;
    let group = boss.submit(&page, "/admin/groups", &[("name", "engineering")]).await.at;
    let page = boss.open("/admin/audit?action=group.&actor_id=boss@acme.com&from=2025-12-31T00:00").await;
    assert_eq!((page.status, page.all(".scroll tbody > tr").len()), (200, 1), "{}", page.main());
    assert_eq!(page.all(&format!("a[href='{group}']")), ["engineering"]);
    let export = page.attribute("a[download]", "href").unwrap();
    let page_of_group = page;
    assert!(export.starts_with("/api/v1/audit/export?format=csv&actor_id="), "{export}");
    assert!(export.ends_with("&action=group.&from=2025-12-31T00%3A00%3A00Z"), "{export}");
    let page = boss.open("/admin/audit?action=nonsense").await;
    assert_eq!((page.status, page.all("[role=alert]").len()), (400, 1), "{}", page.main());
    let lines = boss.open(&page_of_group.attribute("a[download]:last-of-type", "href").unwrap()).await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert!(lines.text.lines().last().unwrap().contains("group.created"));
}
}

on_both! {
async fn gateways_are_shown_with_what_they_refuse(test: Test) {
    let gateway = test.gateway("edge-eu-1", 0);
    gateway.report(&Progress {
        last_error: Some("no such <kind>".to_owned()),
        quarantined: [("app/1".to_owned(), "unknown mode".to_owned())].into(),
        ..Progress::default()
    });
    test.app(json!({})).await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/gateways").await;
    let text = page.main();
    for part in ["edge-eu-1", "rejects updates", "1 revision", "no such <kind>", "unknown mode", "Connect an Envoy"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(boss.open("/admin").await.main().contains("rejects updates"));
}
}

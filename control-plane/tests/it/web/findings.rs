//! The Findings tab of the portal and the findings of the console.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{START_MS, Test, id, on_both};

/// An app that everyone may see, with findings in requests of Alice's and of Bob's.
async fn used<'a>(test: &'a Test) -> (Visitor<'a>, Value) {
    let app = test.app(json!({"guardrails": {"rules": [{"category": "pii"}]}})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    let visitor = Visitor::signed_in(test, "alice@acme.com").await;
    let users = test.get("/users?search=alice").await.json;
    let (alice, bob) = (id(&users["items"][0]), test.user("bob@acme.com").await);
    for (i, (request, user, category, action)) in [
        ("r-clean", &alice, "", ""),
        ("r-mail", &alice, "pii", "monitored"),
        ("r-trial", &alice, "pii", "would_block"),
        ("r-card", &alice, "pci", "blocked"),
        ("r-bob", &bob, "pii", "anonymized"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = START_MS - 86_400_000 + 60_000 * i as i64;
        let found = i64::from(!category.is_empty());
        test.insert(
            "records",
            json!({"at": at, "request_id": request, "app_id": app["id"], "user_id": user, "inspected": 1,
            "findings": found, "unread": 2, "model": "gpt-4o"}),
        )
        .await;
        if found > 0 {
            test.insert(
                "findings",
                json!({"at": at, "request_id": request, "app_id": app["id"], "user_id": user,
                "category": category, "action": action, "excerpt": "<b>•••"}),
            )
            .await;
        }
    }
    (visitor, app)
}

const REQUESTS: &str = "table tbody tr td:last-child a:first-child";

on_both! {
async fn the_portal_shows_ones_own_findings_by_what_was_done(test: Test) {
    let (mut alice, app) = used(&test).await;
    let path = format!("/apps/{}/findings", id(&app));
    let page = alice.open(&path).await;
    assert_eq!((page.status, page.all(REQUESTS)), (200, vec!["r-card".into(), "r-trial".into(), "r-mail".into()]), "{}", page.main());
    assert_eq!(page.all(".figures dd"), ["1", "0", "2", "1"], "{}", page.main());
    assert!(page.text.contains("&lt;b&gt;") || page.text.contains("&#60;b&#62;"), "excerpts are text");
    assert!(page.main().contains("would block (trial)"));
    for (show, requests) in [
        ("blocked", vec!["r-card"]), ("anonymized", vec![]), ("monitored", vec!["r-trial", "r-mail"]), ("normal", vec!["r-clean"]),
    ] {
        let page = alice.open(&format!("{path}?show={show}")).await;
        assert_eq!((page.status, page.all(REQUESTS)), (200, requests.into_iter().map(str::to_owned).collect()), "{show}: {}", page.main());
        assert_eq!(page.all("nav.tabs[aria-label=Findings] a[aria-current]").len(), 1, "{show}");
    }
    assert_eq!(alice.open(&format!("{path}?show=anonymized")).await.all("h3"), ["No findings of this kind"]);
    test.self_service(&app, json!({"access": {"all_logs": {"mode": "everyone"}}})).await;
    let page = alice.open(&path).await;
    assert_eq!(page.all(REQUESTS)[0], "r-bob");
    assert!(page.main().contains("bob@acme.com"));
}
}

on_both! {
async fn a_request_leads_to_its_findings_and_back(test: Test) {
    let (mut alice, app) = used(&test).await;
    let (findings, logs) = (format!("/apps/{}/findings", id(&app)), format!("/apps/{}/logs", id(&app)));
    let page = alice.open(&logs).await;
    assert!(page.main().contains("Guardrails 1 finding ; 2 parts could not be read"), "{}", page.main());
    assert!(page.main().contains("Guardrails no findings; 2 parts could not be read"), "{}", page.main());
    let to = page.attribute("a[href*='findings?request_id=r-card']", "href").unwrap();
    let page = alice.open(&to).await;
    assert_eq!((page.status, page.all(REQUESTS)), (200, vec!["r-card".to_owned()]), "{}", page.main());
    let back = page.attribute(&format!("a[href='{logs}?request_id=r-card']"), "href").unwrap();
    let page = alice.open(&back).await;
    assert_eq!(page.all(".logs > tbody details dd:nth-of-type(1)"), ["r-card"], "{}", page.main());
    let others = alice.open(&format!("{findings}?request_id=r-bob")).await;
    assert_eq!(others.all("h3"), ["No findings for this request"], "of another's nothing is told");
}
}

on_both! {
async fn a_page_without_findings_says_why(test: Test) {
    let app = test.app(json!({})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let path = format!("/apps/{}/findings", id(&app));
    let said = async |alice: &mut Visitor<'_>| alice.open(&path).await.all("h3");
    assert_eq!(said(&mut alice).await, ["No guardrails"]);
    let on = json!({"guardrails": {"rules": [{"category": "pii"}]}});
    test.patch(&format!("/apps/{}", id(&app)), on).await.expect(StatusCode::OK);
    assert_eq!(said(&mut alice).await, ["No requests inspected yet"]);
    let users = test.get("/users?search=alice").await.json;
    test.insert("records", json!({"app_id": app["id"], "user_id": users["items"][0]["id"], "inspected": 1})).await;
    assert_eq!(said(&mut alice).await, ["Nothing found"]);
}
}

on_both! {
async fn the_console_filters_findings_and_shows_them_by_day_and_category(test: Test) {
    let (_, app) = used(&test).await;
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let page = eve.open("/admin/findings").await;
    assert_eq!((page.status, page.all(REQUESTS).len()), (200, 4), "{}", page.main());
    assert_eq!(page.all("nav a[aria-current][href='/admin/findings']"), ["Findings"]);
    assert_eq!(page.all("figure.chart figcaption span:first-child"), ["PII", "PCI"], "the most first");
    assert_eq!(page.all("figure.chart .peak"), ["Peak: 3 findings (Dec 31, 2025)", "Peak: 1 finding (Dec 31, 2025)"]);
    assert_eq!(page.all("figure.chart details").len(), 2, "a table behind each");
    assert_eq!(page.all(".figures dd"), ["4", "4", "5"]);
    for (query, requests) in [
        ("app_id=support+bot&category=pci", vec!["r-card"]),
        ("user_id=bob@acme.com", vec!["r-bob"]),
        ("action=would_block", vec!["r-trial"]),
        ("request_id=r-mail", vec!["r-mail"]),
        ("risk=high", vec![]),
        ("from=2025-01-01T00:00", vec!["r-bob", "r-card", "r-trial", "r-mail"]),
    ] {
        let page = eve.open(&format!("/admin/findings?{query}")).await;
        assert_eq!((page.status, page.all(REQUESTS)), (200, requests.into_iter().map(str::to_owned).collect()), "{query}: {}", page.main());
    }
    assert_eq!(eve.open("/admin/findings?risk=high").await.all(".empty h2"), ["No findings match"]);
    let page = eve.open("/admin/findings?request_id=r-mail").await;
    let log = page.attribute("main a[href^='/admin/logs?request_id=']", "href").unwrap();
    let page = eve.open(&log).await;
    assert_eq!(page.all("table.logs > tbody > tr").len(), 1);
    assert_eq!(page.attribute("a[href^='/admin/findings?request_id=']", "href").as_deref(), Some("/admin/findings?request_id=r-mail"));
    assert_eq!(eve.open("/admin/logs?findings=false").await.all("table.logs > tbody > tr").len(), 1);
    for (wrong, field) in [("app_id=none", "app_id"), ("from=soon", "from")] {
        let page = eve.open(&format!("/admin/findings?{wrong}&detector=email")).await;
        assert_eq!((page.status, page.all(&format!("#{field}-error")).len()), (422, 1), "{wrong}: {}", page.main());
        assert_eq!(page.attribute("#detector", "value").as_deref(), Some("email"), "what was typed is kept");
    }
    let page = eve.open("/admin/findings?action=nothing").await;
    assert_eq!((page.status, page.all("[role=alert]").len()), (400, 1), "{}", page.main());
    let mut alice = Visitor::again(&test, "alice@acme.com").await;
    assert_eq!(alice.open("/admin/findings").await.status, 403);
    let _ = app;
}
}

on_both! {
async fn findings_are_paged_and_the_filters_stay(test: Test) {
    for number in 0..60 {
        let category = if number % 10 == 0 { "pci" } else { "pii" };
        test.insert("findings", json!({"request_id": format!("r{number}"), "category": category})).await;
    }
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/findings?category=pii").await;
    assert_eq!(page.all(REQUESTS).len(), 50);
    let next = page.attribute("a[rel=next]", "href").unwrap();
    assert!(next.starts_with("/admin/findings?category=pii&cursor="), "{next}");
    let page = boss.open(&next).await;
    assert_eq!((page.all(REQUESTS).len(), page.all("a[rel=next]").len()), (4, 0));
}
}

//! Guardrails in the forms of the console and of the portal.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{Test, id, on_both};

async fn stored(test: &Test, app: &Value) -> Value {
    test.get(&format!("/apps/{}", id(app))).await.expect(StatusCode::OK)["guardrails"].clone()
}

on_both! {
async fn an_admin_sets_them_by_category_and_by_detector(test: Test) {
    let app = test.app(json!({})).await;
    let mut boss = Visitor::owner(&test).await;
    let (page, path) = (format!("/admin/apps/{}", id(&app)), format!("/admin/apps/{}/guardrails", id(&app)));
    let shown = boss.open(&page).await;
    let rows = shown.all("table.guardrails tbody tr td:first-child");
    assert!(rows[0].starts_with("PII") && rows.iter().all(|row| !row.starts_with("Custom")), "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("Secrets strong")), "how far it can be trusted: {rows:?}");
    let detectors = latchkey_guardrails::DETECTORS.len();
    assert_eq!(shown.all("#guardrails details table tbody tr").len(), detectors, "all that is looked for");
    let saved = boss.submit(&shown, &path, &[
        ("guardrails.pii.action", "redact"), ("guardrails.pii.direction", "request"), ("guardrails.pci.action", "block"),
        ("guardrails.pci.shadow_until", "2026-01-31"), ("guardrails.detectors", "pii/email: allow\n"),
        ("guardrails.exceptions", "info@example.com\na, b"), ("guardrails.exception_patterns", "T{2,3}"),
    ]).await;
    assert_eq!((saved.status, saved.all(".flash")), (200, vec!["Saved.".to_owned()]), "{}", saved.main());
    assert_eq!(stored(&test, &app).await, json!({
        "rules": [
            {"category": "pii", "action": "redact", "direction": "request", "min_risk": "low"},
            {"category": "pii", "detector": "email", "action": "allow", "direction": "both", "min_risk": "low"},
            {"category": "pci", "action": "block", "direction": "both", "min_risk": "low", "shadow_until": "2026-02-01T00:00:00Z"},
        ],
        "exceptions": ["info@example.com", "a, b"], "exception_patterns": ["T{2,3}"], "unseen_texts": "refuse",
    }));
    let off = boss.submit(&saved, &path, &[
        ("guardrails.pii.action", ""), ("guardrails.pii.direction", "both"), ("guardrails.pci.action", ""),
        ("guardrails.pci.shadow_until", ""), ("guardrails.detectors", ""), ("guardrails.exceptions", ""), ("guardrails.exception_patterns", ""),
    ]).await;
    assert_eq!(off.all(".flash").len(), 1, "{}", off.main());
    assert_eq!(stored(&test, &app).await["rules"], json!([]));
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let shown = eve.open(&page).await;
    assert_eq!(shown.all("#guardrails fieldset[disabled]").len(), 2, "auditors only look");
}
}

on_both! {
async fn what_is_wrong_is_marked_and_what_was_typed_is_kept(test: Test) {
    let app = test.app(json!({})).await;
    let mut boss = Visitor::owner(&test).await;
    let path = format!("/admin/apps/{}/guardrails", id(&app));
    let shown = boss.open(&format!("/admin/apps/{}", id(&app))).await;
    for (fields, wrong) in [
        (vec![("guardrails.detectors", "pii/emial: redact")], "guardrails.detectors"),
        (vec![("guardrails.detectors", "email redact")], "guardrails.detectors"),
        (vec![("guardrails.secrets.action", "anonymize")], "guardrails.secrets.action"),
        (vec![("guardrails.pci.action", "block"), ("guardrails.pci.shadow_until", "2025-12-01")], "guardrails.pci.shadow_until"),
        (vec![("guardrails.pci.action", "monitor"), ("guardrails.pci.shadow_until", "2026-01-31")], "guardrails.pci.shadow_until"),
        (vec![("guardrails.pci.min_risk", "high")], "guardrails.pci.action"),
        (vec![("guardrails.exceptions", "a@example.com")], "guardrails.exceptions"),
        (vec![("guardrails.unseen_texts", "allow")], "guardrails.unseen_texts"),
        (vec![("guardrails.weather.action", "block")], "guardrails.weather.action"),
    ] {
        let page = boss.submit(&shown, &path, &fields).await;
        assert_eq!((page.status, page.all(".refused").len()), (422, 1), "{fields:?}: {}", page.main());
        assert!(page.all(".refused a").contains(&wrong.to_owned()), "{fields:?}: {:?}", page.all(".refused"));
        if !wrong.contains("weather") {
            let mark = format!("#{}-error", wrong.replace('.', "\\."));
            assert_eq!(page.all(&mark).len(), 1, "{fields:?}: {}", page.main());
            let kept = page.form(&path);
            // What a select does not offer cannot stand in it.
            for (field, value) in fields.into_iter().filter(|(_, value)| *value != "anonymize") {
                assert!(kept.contains(&(field.to_owned(), value.to_owned())), "{field}: {kept:?}");
            }
        }
    }
    assert_eq!(stored(&test, &app).await["rules"], json!([]), "nothing was saved");
}
}

on_both! {
async fn a_user_asks_for_other_guardrails(test: Test) {
    let app = test.app(json!({"guardrails": {"rules": [{"category": "pii"}]}})).await;
    let own = json!({"custom_categories": [{"name": "Orion", "keywords": ["rigel"]}]});
    let put = test.request("PUT", &format!("/apps/{}/custom-categories", id(&app)), Some(&own));
    test.send(put).await.expect(StatusCode::OK);
    test.self_service(&app, json!({"access": {"settings_request": {"mode": "everyone"}}})).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let path = format!("/apps/{}/request/update_config", id(&app));
    let form = alice.open(&path).await;
    assert!(form.all("table.guardrails tbody tr td:first-child").contains(&"Custom".to_owned()));
    let wrong = [("guardrails.detectors", "custom/Rigel: block"), ("step", "preview")];
    let page = alice.submit(&form, &path, &wrong).await;
    assert_eq!((page.status, page.all("#guardrails\\.detectors-error").len()), (422, 1), "{}", page.main());
    let fields = [("guardrails.pii.action", "anonymize"), ("guardrails.detectors", "custom/Orion: block"), ("step", "preview")];
    let preview = alice.submit(&page, &path, &fields).await;
    assert_eq!(preview.status, 200, "{}", preview.main());
    assert!(preview.main().contains("guardrails: rules"), "{}", preview.main());
    let sent = alice.submit(&preview, &path, &[("step", "send"), ("reason", "for the launch")]).await;
    assert_eq!(sent.status, 200, "{}", sent.main());
    let request = test.get("/change-requests").await.expect(StatusCode::OK)["items"][0].clone();
    test.act(&format!("/change-requests/{}/approve", id(&request))).await.expect(StatusCode::OK);
    let rules = stored(&test, &app).await["rules"].clone();
    let said: Vec<_> = rules.as_array().unwrap().iter().map(|rule| (rule["category"].as_str(), rule["action"].as_str())).collect();
    assert_eq!(said, [(Some("pii"), Some("anonymize")), (Some("custom"), Some("block"))]);
}
}

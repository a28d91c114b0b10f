use serde_json::json;

use super::visitor::Visitor;
use crate::support::{id, on_both};

on_both! {
async fn a_detector_is_added_edited_and_deleted(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    assert!(boss.open("/admin/detectors").await.main().contains("No detectors yet"));
    let page = boss.open("/admin/detectors/new").await;
    assert_eq!(page.attribute("#timeout_ms", "value").as_deref(), Some("500"));
    let wrong = [("name", "company"), ("url", "https://d.acme.com/judge"), ("timeout_ms", "9000"), ("credential", "det-secret")];
    let page = boss.submit(&page, "/admin/detectors", &wrong).await;
    assert_eq!((page.status, page.all("#timeout_ms-error").len()), (422, 1), "{}", page.main());
    assert!(!page.text.contains("det-secret"), "a credential is not shown again");
    let right = [("timeout_ms", "800"), ("credential", "det-secret")];
    let page = boss.submit(&page, "/admin/detectors", &right).await;
    assert_eq!((page.status, page.at.as_str()), (200, "/admin/detectors/company"), "{}", page.main());
    for shown in ["stored, encrypted", "800 ms", "65536 bytes", "external/company: block, on failure pass"] {
        assert!(page.main().contains(shown), "{shown}: {}", page.main());
    }
    let page = boss.submit(&page, "/admin/detectors/company", &[("max_text_bytes", "4096")]).await;
    assert!(page.main().contains("4096 bytes") && page.main().contains("stored, encrypted"), "{}", page.main());
    let page = boss.submit(&page, "/admin/detectors/company/switch", &[]).await;
    assert!(page.all(".badge").contains(&"disabled".to_owned()), "{}", page.main());
    let page = boss.submit(&page, "/admin/detectors/company/delete", &[]).await;
    assert!(page.main().contains("No detectors yet"), "{}", page.main());
}
}

on_both! {
async fn an_apps_guardrails_name_a_detector_in_a_line(test: Test) {
    test.post("/detectors", json!({"name": "company", "url": "https://d.acme.com"})).await.expect(201.try_into().unwrap());
    let app = test.app(json!({})).await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open(&format!("/admin/apps/{}", id(&app))).await;
    let path = format!("/admin/apps/{}/guardrails", id(&app));
    let wrong = [("guardrails.detectors", "external/company: redact")];
    let page = boss.submit(&page, &path, &wrong).await;
    assert_eq!((page.status, page.all("[id='guardrails.detectors-error']").len()), (422, 1), "{}", page.main());
    let right = [("guardrails.detectors", "external/company: redact, on failure block")];
    let page = boss.submit(&page, &path, &right).await;
    assert_eq!(page.status, 200, "{}", page.main());
    let expected = json!([{"category": "external", "detector": "company", "action": "redact", "direction": "request",
        "min_risk": "low", "on_failure": "block"}]);
    let read = test.get(&format!("/apps/{}", id(&app))).await.expect(200.try_into().unwrap());
    assert_eq!(read["guardrails"]["rules"], expected);
}
}

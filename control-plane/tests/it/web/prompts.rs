//! Prompts in the console and in the portal's form.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{Test, id, on_both};

async fn stored(test: &Test, app: &Value, name: &str) -> Value {
    test.get(&format!("/apps/{}/prompts/{name}", id(app))).await.expect(StatusCode::OK)
}

on_both! {
async fn an_admin_adds_versions_and_moves_labels(test: Test) {
    let app = test.app(json!({})).await;
    let mut boss = Visitor::owner(&test).await;
    let path = format!("/admin/apps/{}/prompts", id(&app));
    let empty = boss.open(&path).await;
    assert_eq!((empty.status, empty.all(".empty").len()), (200, 1), "{}", empty.main());
    let fields = [("name", "tone/formal"), ("text", "Be <kind>, {{name}}."), ("labels", "production, staging")];
    let made = boss.submit(&empty, &path, &fields).await;
    assert_eq!((made.status, made.all(".flash").len()), (200, 1), "{}", made.main());
    assert_eq!(made.all("details pre"), ["Be <kind>, {{name}}."]);
    let one = made.at.clone();
    let twice = boss.submit(&empty, &path, &fields).await;
    assert_eq!(twice.at, one, "sent twice, made once");
    let more = boss.submit(&made, &one, &[("text", "Be brief."), ("labels", "staging")]).await;
    assert_eq!(more.all("details pre"), ["Be brief.", "Be <kind>, {{name}}."], "{}", more.main());
    let moved = boss.submit(&more, &format!("{one}/label"), &[("label", "production"), ("version", "2")]).await;
    assert_eq!((moved.status, moved.all(".flash").len()), (200, 1), "{}", moved.main());
    assert_eq!(stored(&test, &app, "tone%2Fformal").await["labels"], json!({"production": 2, "staging": 2}));
    let wrong = boss.submit(&moved, &format!("{one}/label"), &[("label", "production"), ("version", "9")]).await;
    assert_eq!((wrong.status, wrong.all("#version-error").len()), (422, 1), "{}", wrong.main());
    let same = boss.submit(&moved, &one, &[("text", "Be brief."), ("labels", "")]).await;
    assert_eq!((same.status, same.all("#text-error").len()), (422, 1), "{}", same.main());
    let listed = boss.open(&path).await;
    assert_eq!(listed.all("table tbody td:first-child"), ["tone/formal"]);
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    assert_eq!(eve.open(&one).await.all("form[action*=prompts]").len(), 0, "auditors only look");
    let gone = boss.submit(&moved, &format!("{one}/delete"), &[]).await;
    assert_eq!((gone.status, gone.at.as_str()), (200, path.as_str()), "{}", gone.main());
    assert_eq!(gone.all(".empty").len(), 1);
}
}

use axum::http::StatusCode;
use serde_json::json;

use super::visitor::Visitor;
use crate::support::on_both;

on_both! {
async fn a_well_known_model_is_added_with_its_price_which_then_changes(test: Test) {
    let provider = json!({"name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1"});
    test.post("/providers", provider).await.expect(StatusCode::CREATED);
    let mut boss = Visitor::owner(&test).await;
    assert!(boss.open("/admin/models").await.main().contains("No models yet"));
    let page = boss.open("/admin/models/new?name=gpt-4o").await;
    assert_eq!(page.attribute("#name", "value").as_deref(), Some("gpt-4o"));
    let page = boss.submit(&page, "/admin/models", &[]).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["gpt-4o".to_owned()]), "{}", page.main());
    let path = page.at.clone();
    let prices = "tbody td:nth-child(3)";
    assert_eq!(page.all(prices), ["$2.50"]);

    let page = boss.submit(&page, &path, &[("price.input", "dear")]).await;
    assert_eq!((page.status, page.all("[id='price.input-error']").len()), (422, 1), "{}", page.main());
    assert_eq!(page.attribute("[id='price.input']", "value").as_deref(), Some("dear"));
    let page = boss.submit(&page, &path, &[("price.input", "3"), ("price.cached_input", "")]).await;
    assert_eq!((page.status, page.all(prices)), (200, vec!["$3.00".to_owned(), "$2.50".to_owned()]));
    assert_eq!(page.all("tbody .badge.good").len(), 1, "one of them is charged now");
    let page = boss.submit(&page, &path, &[("unpriced", "true"), ("max_output_tokens", "")]).await;
    assert_eq!(page.all(".flash"), ["Saved; gateways are told."]);
    let page = boss.open("/admin/models").await;
    assert!(page.main().contains("no price"), "{}", page.main());
    let page = boss.open(&path).await;
    let page = boss.submit(&page, &format!("{path}/delete"), &[]).await;
    assert!(page.main().contains("No models yet"), "{}", page.main());
}
}

on_both! {
async fn a_model_of_ones_own_has_the_price_that_was_typed(test: Test) {
    test.catalogue().await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/models/new").await;
    let own = [("name", "house-model"), ("priced", "own"), ("price.input", "0.10"), ("price.output", "")];
    let page = boss.submit(&page, "/admin/models", &own).await;
    assert_eq!((page.status, page.all("[id='price.output-error']").len()), (422, 1), "{}", page.main());
    let page = boss.submit(&page, "/admin/models", &[("price.output", "0.40"), ("context_window", "128,000")]).await;
    assert_eq!(page.status, 200, "{}", page.main());
    let cells = page.all("tbody td");
    assert_eq!(cells[2..], ["$0.10", "$0.10", "$0.40"]);
    assert!(page.main().contains("128,000 tokens"));
}
}

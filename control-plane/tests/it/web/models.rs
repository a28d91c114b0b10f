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
    assert_eq!(page.all(".flash"), ["Saved and sent to the gateways."]);
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

on_both! {
async fn long_inputs_and_tiers_are_typed_and_shown_and_nothing_typed_is_dropped(test: Test) {
    test.catalogue().await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/models/new").await;
    let price = [("name", "house-model"), ("price.input", "4"), ("price.output", "20")];
    let page = boss.submit(&page, "/admin/models", &price).await;
    assert_eq!((page.status, page.all("[id='price.input-error']").len()), (422, 1), "the catalogue's price was chosen");
    let more = [("priced", "own"), ("price.cache_write_5m", "5"), ("price.long_context.above", "272,000"),
        ("price.long_context.input", "8"), ("price.long_context.output", "30"), ("price.tiers", "priority twice\nflex")];
    let page = boss.submit(&page, "/admin/models", &more).await;
    assert_eq!((page.status, page.all("[id='price.tiers-error']").len()), (422, 1), "{}", page.main());
    let tiers = [("price.tiers", "priority 2\nflex: input 2, output 10")];
    let page = boss.submit(&page, "/admin/models", &tiers).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["house-model".to_owned()]), "{}", page.main());
    let path = page.at.clone();
    for shown in ["$5.00", "for an hour $10.00", "Above 272,000 tokens", "priority", "$40.00"] {
        assert!(page.main().contains(shown), "{shown}: {}", page.main());
    }
    let value = |id: &str| page.attribute(&format!("[id='{id}']"), "value");
    assert_eq!(value("price.long_context.above").as_deref(), Some("272000"));
    assert_eq!(value("price.long_context.cached_input").as_deref(), Some("8"));
    let lines = "flex input 2 cached_input 2 cache_write_5m 2.5 cache_write_1h 5 output 10 priority 2";
    assert_eq!(page.all("[id='price.tiers']"), [lines]);

    // As it is shown it is saved, and what is emptied is taken away.
    let page = boss.submit(&page, &path, &[]).await;
    assert_eq!((page.status, page.all("tbody tr").len()), (200, 1), "no new version: {}", page.main());
    let page = boss.submit(&page, &path, &[("price.tiers", "default 2")]).await;
    assert_eq!((page.status, page.all("[id='price.tiers-error']").len()), (422, 1), "{}", page.main());
    let emptied = ["above", "input", "cached_input", "cache_write_5m", "cache_write_1h", "output"]
        .map(|rate| format!("price.long_context.{rate}"));
    let mut fields: Vec<_> = emptied.iter().map(|name| (name.as_str(), "")).collect();
    fields.push(("price.tiers", ""));
    let page = boss.submit(&page, &path, &fields).await;
    assert_eq!((page.status, page.all("tbody tr").len()), (200, 2), "{}", page.main());
    let model = &test.get("/models").await.expect(StatusCode::OK)["items"];
    let model = model.as_array().unwrap().iter().find(|model| model["name"] == "house-model").unwrap().clone();
    assert_eq!((&model["price"]["long_context"], &model["price"]["tiers"]), (&json!(null), &json!({})));
}
}

on_both! {
async fn the_catalogues_price_follows_the_name_that_is_typed(test: Test) {
    test.catalogue().await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/models/new").await;
    let page = boss.submit(&page, "/admin/models", &[("name", "cheap"), ("upstream_name", "gpt-4o-mini")]).await;
    let path = page.at.clone();
    assert_eq!((page.all("tbody td:nth-child(3)"), page.status), (vec!["$0.15".to_owned()], 200));
    let page = boss.submit(&page, &path, &[("upstream_name", "gpt-4.1")]).await;
    assert_eq!(page.all("tbody td:nth-child(3)"), ["$2.00", "$0.15"], "{}", page.main());
    assert_eq!(page.attribute("#context_window", "value").as_deref(), Some("1047576"));
    let unknown = boss.submit(&page, &path, &[("upstream_name", "house-1")]).await;
    assert_eq!((unknown.status, unknown.all(".refused li a")), (422, vec!["price".to_owned()]), "{}", unknown.main());
    let typed = [("upstream_name", "house-1"), ("price.input", "3")];
    let page = boss.submit(&page, &path, &typed).await;
    assert_eq!((page.status, &page.all("tbody td:nth-child(3)")[0]), (200, &"$3.00".to_owned()), "{}", page.main());
    assert_eq!(page.attribute("#context_window", "value").as_deref(), Some(""), "nobody knows it");
}
}

on_both! {
async fn the_page_with_the_catalogue_is_light(test: Test) {
    test.catalogue().await;
    let page = Visitor::owner(&test).await.open("/admin/models/new?provider=openai").await;
    assert!(page.text.len() <= 85_000, "{} bytes", page.text.len());
    let known = test.get("/catalogue").await.expect(StatusCode::OK)["items"].as_array().unwrap().len();
    assert_eq!((page.all("#known option").len(), page.all("tbody tr").len()), (known, known));
    assert_eq!(page.attribute("tbody button[value='gpt-4o']", "aria-label").as_deref(), Some("Choose gpt-4o"));
    assert_eq!(page.attribute("form:not([method]) input[name=provider]", "value").as_deref(), Some("openai"));
}
}

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

async fn put(test: &Test, path: &str, body: Value) -> crate::support::Answer {
    test.send(test.request("PUT", path, Some(&body))).await
}

async fn operations(test: &Test, app: &str) -> Vec<String> {
    let page = test.get(&format!("/apps/{app}/versions")).await.expect(StatusCode::OK);
    let word = |version: &Value| version["operation"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(word).collect()
}

on_both! {
    async fn categories_are_kept_sorted_and_versioned(test: Test) {
        let app = id(&test.app(json!({})).await);
        let path = format!("/apps/{app}/custom-categories");
        assert_eq!(test.get(&path).await.expect(StatusCode::OK), json!({"custom_categories": []}));
        let body = json!({"custom_categories": [
            {"name": "Projects", "patterns": ["PRJ-\\d{4}"]}, {"name": "Code names", "keywords": ["orion"]},
        ]});
        let set = put(&test, &path, body.clone()).await.expect(StatusCode::OK);
        assert_eq!(set["custom_categories"][0]["name"], "Code names");
        assert_eq!(test.get(&path).await.expect(StatusCode::OK), set);
        put(&test, &path, body).await.expect(StatusCode::OK);
        assert_eq!(operations(&test, &app).await, ["update_custom_category", "create"], "the same is no change");
        let wrong = json!({"custom_categories": [{"name": "a", "patterns": ["("]}]});
        let refused = put(&test, &path, wrong).await.refused(422);
        assert_eq!(refused, pair("invalid", "custom_categories[0].patterns[0]"));
        assert_eq!(test.get(&path).await.expect(StatusCode::OK), set, "nothing was changed");
    }
}

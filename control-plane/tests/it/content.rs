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

on_both! {
    async fn prompts_are_added_and_removed_one_by_one(test: Test) {
        let app = id(&test.app(json!({})).await);
        let path = format!("/apps/{app}/prompts");
        for name in ["tone/formal", "greeting"] {
            test.post(&path, json!({"name": name, "text": "Hello"})).await.expect(StatusCode::CREATED);
        }
        let again = test.post(&path, json!({"name": "Greeting", "text": "x"})).await;
        assert_eq!(again.refused(422), pair("invalid", "name"));
        assert_eq!(test.post(&path, json!({"name": "x", "text": ""})).await.refused(422), pair("invalid", "text"));
        let list = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(list["items"].as_array().unwrap().iter().map(|p| &p["name"]).collect::<Vec<_>>(), ["greeting", "tone/formal"]);
        let one = format!("{path}/tone%2Fformal");
        assert_eq!(test.get(&one).await.expect(StatusCode::OK)["text"], "Hello");
        assert_eq!(test.delete(&one).await.status, StatusCode::NO_CONTENT);
        assert_eq!(test.delete(&one).await.refused(404).0, "not_found");
        assert_eq!(test.get(&one).await.refused(404).0, "not_found");
        let expected = ["prompt_store_delete", "prompt_store_create", "prompt_store_create", "create"];
        assert_eq!(operations(&test, &app).await, expected);
        let version = test.get(&format!("/apps/{app}/versions/4")).await.expect(StatusCode::OK);
        assert_eq!(version["changes"], json!([{"path": "prompts.tone/formal", "before": {"text": "Hello"}}]));
    }
}

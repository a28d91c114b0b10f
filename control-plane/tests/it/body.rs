use serde_json::{Value, json};

use crate::support::{id, on_both, pair};

on_both! {
    async fn an_array_is_not_taken_for_the_fields_of_a_body(test: Test) {
        assert_eq!(test.post("/users", json!(["alice@acme.com", "alice"])).await.refused(422), pair("invalid", ""));
        let app = id(&test.app(json!({})).await);
        assert_eq!(test.patch(&format!("/apps/{app}"), json!([null])).await.refused(422), pair("invalid", ""));
    }
}

on_both! {
    async fn a_body_that_may_be_missing_may_be_null(test: Test) {
        let app = id(&test.app(json!({})).await);
        test.post(&format!("/apps/{app}/key/rotate"), Value::Null).await.expect(axum::http::StatusCode::OK);
        assert_eq!(test.post(&format!("/apps/{app}/key/rotate"), json!([1])).await.refused(422), pair("invalid", ""));
    }
}

on_both! {
    async fn a_nul_character_in_a_query_is_refused(test: Test) {
        for query in ["/logs?model=a%00", "/users?search=%00", "/usage?provider=%00", "/events?kind=%00"] {
            assert_eq!(test.get(query).await.refused(400), pair("invalid_query", ""), "{query}");
        }
    }
}

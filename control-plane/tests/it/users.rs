use axum::http::StatusCode;
use serde_json::json;

use crate::support::{on_both, pair};

on_both! {
    async fn an_address_is_one_users_in_any_case(test: Test) {
        let id = test.user("Alice@ACME.com").await;
        let again = test.post("/users", json!({"email": "alice@acme.com", "name": "x"})).await;
        assert_eq!(again.refused(422), pair("invalid", "email"));
        let read = test.get(&format!("/users/{id}")).await.expect(StatusCode::OK);
        assert_eq!((&read["email"], &read["role"]), (&json!("alice@acme.com"), &json!("user")));
        let found = test.get("/users?search=ALICE").await.expect(StatusCode::OK);
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
    }
}

on_both! {
    async fn nobody_is_a_gateway(test: Test) {
        let body = json!({"email": "x@acme.com", "name": "x", "role": "gateway"});
        assert_eq!(test.post("/users", body).await.refused(422), pair("invalid", "role"));
    }
}

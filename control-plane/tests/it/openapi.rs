use latchkey::api::openapi;

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    insta::assert_snapshot!(openapi().to_pretty_json().unwrap());
}

#[test]
fn every_operation_asks_for_a_token_and_documents_its_errors() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let anyone = ["/api/v1/auth/sign-in", "/api/v1/auth/invitation"].contains(&path.as_str());
            let security = if anyone { serde_json::json!({}) } else { serde_json::json!({"token": []}) };
            assert_eq!(operation["security"][0], security, "{method} {path}");
            assert!(operation["responses"]["4XX"].is_object(), "{method} {path}");
            operations += 1;
        }
    }
    assert!(operations >= 36, "only {operations} operations");
}

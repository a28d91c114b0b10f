use latchkey_api::openapi;
use serde_json::json;

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    insta::assert_snapshot!(openapi().to_pretty_json().unwrap());
}

#[test]
fn every_operation_asks_for_a_token_or_a_session_and_documents_its_errors() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let anyone = ["/api/v1/auth/sign-in", "/api/v1/auth/invitation"].contains(&path.as_str());
            let security = if anyone { json!([{}]) } else { json!([{"token": []}, {"session": []}]) };
            assert_eq!(operation["security"], security, "{method} {path}");
            assert!(operation["responses"]["4XX"].is_object(), "{method} {path}");
            operations += 1;
        }
    }
    let session = &document["components"]["securitySchemes"]["session"];
    assert_eq!((&session["in"], &session["name"]), (&json!("cookie"), &json!("__Host-latchkey")));
    assert!(session["description"].as_str().unwrap().contains("`X-CSRF-Token`"));
    assert!(operations >= 36, "only {operations} operations");
}

//! Names that people type hold nothing that nobody sees.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{id, on_both, pair};

on_both! {
    async fn a_hidden_character_is_refused_by_its_name_wherever_a_name_is_typed(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"name": "fine"})).await;
        let user = test.user("alice@acme.com").await;
        let group = test.group("fine", &[]).await;
        let keys = format!("/apps/{}/keys", id(&app));
        for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{e0067}'] {
            let name = format!("ad{hidden}min");
            let code = format!("U+{:04X}", u32::from(hidden));
            let slug = json!({"name": name, "kind": "openai", "base_url": "https://api.openai.com/v1"});
            let server = json!({"name": name, "url": "https://mcp.example.com/"});
            for (method, path, body, field) in [
                ("POST", "/apps".to_owned(), json!({"name": name}), "name"),
                ("PATCH", format!("/apps/{}", id(&app)), json!({"name": name}), "name"),
                ("PATCH", format!("/apps/{}", id(&app)), json!({"tags": [name]}), "tags[0]"),
                ("POST", keys.clone(), json!({"user_id": user, "name": name}), "name"),
                ("POST", "/users".to_owned(), json!({"email": "bob@acme.com", "name": name}), "name"),
                ("POST", "/users".to_owned(), json!({"email": format!("{name}@acme.com"), "name": "Bob"}), "email"),
                ("PATCH", format!("/users/{user}"), json!({"name": name}), "name"),
                ("POST", "/groups".to_owned(), json!({"name": name}), "name"),
                ("PATCH", format!("/groups/{group}"), json!({"name": name}), "name"),
                ("POST", "/tokens".to_owned(), json!({"name": name, "role": "admin"}), "name"),
                ("POST", "/providers".to_owned(), slug, "name"),
                ("POST", "/mcp-servers".to_owned(), server, "name"),
                ("POST", "/models".to_owned(), json!({"name": name, "provider": "openai"}), "name"),
            ] {
                let answer = test.with(&test.owner, method, &path, Some(body)).await;
                let message = answer.json["errors"][0]["message"].to_string();
                assert!(message.contains(&code), "{method} {path}: {:#}", answer.json);
                assert_eq!(answer.refused(422), pair("invalid", field), "{method} {path}");
            }
        }
        for name in ["👩🏽\u{200d}💻 tools", "می\u{200c}خواهم", "क्\u{200d}ष", "עברית"] {
            let made = test.app(json!({"name": name})).await;
            assert_eq!(made["name"], name);
        }
    }
}

on_both! {
    async fn names_of_a_time_when_they_were_taken_stay_readable_and_can_be_changed(test: Test) {
        let app = test.app(json!({"name": "fine"})).await;
        test.sql(&[format!("UPDATE apps SET name = 'ad\u{202e}min' WHERE id = '{}'", id(&app))]).await;
        let path = format!("/apps/{}", id(&app));
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["name"], "ad\u{202e}min");
        let tagged: Value = test.patch(&path, json!({"tags": ["a"]})).await.expect(StatusCode::OK);
        assert_eq!(tagged["tags"], json!(["a"]));
        test.patch(&path, json!({"name": "admin"})).await.expect(StatusCode::OK);
    }
}

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use super::flash;
use crate::support::{id, on_both};
use crate::web::visitor::Visitor;

on_both! {
    async fn access_is_granted_to_people_and_groups_by_what_they_are_called(test: Test) {
        let alice = test.user("alice@acme.com").await;
        test.clock.advance(Duration::from_secs(1));
        let bob = test.user("bob@acme.com").await;
        let group = test.group("Engineering", &[&bob]).await;
        let app = test.app(json!({})).await;
        let path = format!("/admin/apps/{}/self-service", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        assert!(page.main().contains("No one yet."));
        let form = [
            ("access.viewer.mode", "specific"),
            ("access.viewer.allow.emails", "Alice@acme.com\nnobody@acme.com"),
            ("access.viewer.allow.group_names", "engineering, sales"),
            ("most_keys_per_user", "3"),
            ("suspend_keys_on_lost_access", "true"),
        ];
        let page = boss.submit(&page, &path, &form).await;
        assert_eq!(page.status, 422);
        let wrong = |field: &str| page.all(&format!("#access\\.viewer\\.allow\\.{field}-error"));
        assert_eq!(wrong("emails"), ["no user has the address nobody@acme.com"]);
        assert_eq!(wrong("group_names"), ["no smart group is named sales"]);
        assert!(page.text.contains("Alice@acme.com\nnobody@acme.com</textarea>"), "what was typed is kept");

        let right = [("access.viewer.allow.emails", "Alice@acme.com"), ("access.viewer.allow.group_names", "engineering")];
        let preview = boss.submit(&page, &path, &[]).await;
        assert_eq!(preview.status, 422);
        let mut typed = page.form(&path);
        typed.retain(|(name, _)| right.iter().all(|(own, _)| own != name));
        typed.extend(right.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let preview = boss.post(&format!("{path}/preview"), &typed).await;
        assert_eq!(preview.status, 200, "{}", preview.main());
        assert!(preview.main().contains("Nothing has been saved"));
        assert_eq!(preview.all("#people td:nth-child(2)"), ["alice@acme.com", "bob@acme.com"]);
        assert!(boss.open(&path).await.main().contains("No one yet."), "a preview changes nothing");

        let page = boss.post(&path, &typed).await;
        assert_eq!(flash(&page), "Saved.", "{}", page.main());
        let saved = test.get(&format!("/apps/{}/self-service", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(saved["access"]["viewer"]["allow"]["users"][0]["id"], alice.as_str());
        assert_eq!(saved["access"]["viewer"]["allow"]["groups"][0]["id"], group.as_str());
        assert_eq!((&saved["most_keys_per_user"], &saved["suspend_keys_on_lost_access"]), (&json!(3), &json!(true)));
        assert_eq!(page.all("#people td:nth-child(2)"), ["alice@acme.com", "bob@acme.com"]);
        assert!(page.text.contains(">alice@acme.com</textarea>") && page.text.contains(">Engineering</textarea>"));

        let page = boss.submit(&page, &path, &[("access.viewer.exceptions.group_names", "Engineering")]).await;
        assert_eq!(page.all("#people td:nth-child(2)"), ["alice@acme.com"]);
        let why = boss.open(&format!("{path}?capability=&search=&explain=bob%40acme.com")).await;
        assert!(why.all("#why li")[0].contains("no"), "{:?}", why.all("#why li"));
        assert_eq!(why.all("#why li").len(), 4);
        let unknown = boss.open(&format!("{path}?explain=nobody%40acme.com")).await;
        assert_eq!(unknown.all("#explain-error"), ["no user has this email address"]);
    }
}

on_both! {
    async fn switching_to_the_shared_key_shows_the_new_one(test: Test) {
        let app = test.app(json!({"identity": {"header": true}})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&format!("{path}/self-service")).await;
        let refused = boss.submit(&page, &format!("{path}/mode"), &[("mode", "named")]).await;
        assert_eq!(refused.status, 422);
        assert!(refused.all(".refused").join(" ").contains("no effect in named mode"), "{}", refused.main());
        let edit = json!({"identity": {"header": false}});
        test.patch(&format!("/apps/{}", id(&app)), edit).await.expect(StatusCode::OK);
        let page = boss.submit(&page, &format!("{path}/mode"), &[("mode", "named")]).await;
        assert_eq!(flash(&page), "Saved.", "{}", page.main());
        assert!(page.main().contains("rotates the app key"), "the warning is there");
        let shown = boss.submit(&page, &format!("{path}/mode"), &[("mode", "shared")]).await;
        assert_eq!(shown.all("h1"), ["New app key"], "{}", shown.main());
        assert_ne!(shown.all("#value"), [app["key"]["value"].as_str().unwrap()]);
    }
}

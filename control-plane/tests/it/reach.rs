//! Where providers and MCP servers may be.

use std::sync::Arc;

use axum::http::StatusCode;
use latchkey::feed::Feed;
use latchkey_core::upstream::Opened;
use latchkey_discovery::source::Source as _;
use serde_json::{Value, json};

use crate::support::{Test, on_both, pair};
use crate::web::visitor::Visitor;

const CLOSED: [&str; 12] = [
    "http://127.0.0.1:9901/quitquitquit",
    "http://2130706433/v1",
    "http://0177.0.0.1/v1",
    "http://0x7f.1/v1",
    "http://localhost/v1",
    "http://models.localhost./v1",
    "http://[::1]/v1",
    "http://[::ffff:10.0.0.1]/v1",
    "https://10.0.0.1/v1",
    "http://100.64.0.1/v1",
    "http://169.254.169.254/latest/meta-data",
    "http://metadata.google.internal/v1",
];

/// The two kinds, by the path of their API and the field with their URL.
const KINDS: [(&str, &str); 2] = [("/providers", "base_url"), ("/mcp-servers", "url")];

fn new(kind: &str, name: &str, url: &str) -> Value {
    match kind {
        "/providers" => json!({"name": name, "kind": "openai_compatible", "base_url": url}),
        _ => json!({"name": name, "url": url}),
    }
}

/// Whoever runs it opens these from now on.
fn open(test: &mut Test, opened: &[&str]) {
    let opened = opened.iter().map(|text| text.parse().unwrap()).collect();
    test.api.opened = Arc::new(Opened::new(opened));
    test.renew_router();
}

on_both! {
    async fn a_private_address_is_refused_when_it_is_written(test: Test) {
        for (kind, field) in KINDS {
            test.post(kind, new(kind, "good", "https://mcp.acme.example/v1")).await.expect(StatusCode::CREATED);
            for url in CLOSED {
                let refused = test.post(kind, new(kind, "bad", url)).await;
                let message = refused.json["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
                assert_eq!(refused.refused(422), pair("invalid", field), "{url}");
                assert!(message.contains("address"), "{url}: {message}");
                let edit = json!({field: url});
                assert_eq!(test.patch(&format!("{kind}/good"), edit).await.refused(422), pair("invalid", field), "{url}");
            }
            let good = test.get(&format!("{kind}/good")).await.expect(StatusCode::OK);
            assert_eq!((&good[field], &good["out_of_reach"]), (&json!("https://mcp.acme.example/v1"), &Value::Null));
            // Your own Envoy configuration says where its clusters lead.
            let mut own = new(kind, "own", "http://10.0.0.1/v1");
            own["cluster"] = json!("outbound");
            test.post(kind, own).await.expect(StatusCode::CREATED);
            let edit = json!({"cluster": null});
            assert_eq!(test.patch(&format!("{kind}/own"), edit).await.refused(422), pair("invalid", field));
        }
    }
}

on_both! {
    async fn a_name_that_resolves_to_one_is_refused_too(test: Test) {
        // Every machine has a name of its own that leads to itself, or none that this test could use.
        let here = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let local = |line: &str| {
            let mut words = line.split_whitespace();
            let address: std::net::IpAddr = words.next()?.parse().ok()?;
            address.is_loopback().then(|| words.find(|name| *name != "localhost").map(str::to_owned))?
        };
        let names = here.lines().filter_map(local).collect::<Vec<_>>();
        for name in names {
            let url = format!("http://{name}:9901/v1");
            let refused = test.post("/providers", new("/providers", "named", &url)).await;
            assert_eq!(refused.refused(422), pair("invalid", "base_url"), "{name}");
        }
    }
}

on_both! {
    async fn whoever_runs_it_opens_what_they_want(test: Test) {
        let mut test = test;
        open(&mut test, &["127.0.0.0/8", "10.1.0.0/16", "::1"]);
        for (kind, field) in KINDS {
            for (name, url) in [("a", "http://localhost:9100/v1"), ("b", "http://10.1.2.3/v1"), ("c", "http://[::1]/v1")] {
                test.post(kind, new(kind, name, url)).await.expect(StatusCode::CREATED);
            }
            for url in ["http://10.2.0.1/v1", "http://169.254.169.254/v1"] {
                assert_eq!(test.post(kind, new(kind, "x", url)).await.refused(422), pair("invalid", field), "{url}");
            }
        }
    }
}

on_both! {
    async fn what_was_there_before_is_shown_refused_and_can_be_switched_off(test: Test) {
        let mut test = test;
        open(&mut test, &["127.0.0.0/8"]);
        for (kind, _) in KINDS {
            test.post(kind, new(kind, "old", "http://127.0.0.1:9100/v1")).await.expect(StatusCode::CREATED);
        }
        open(&mut test, &[]);
        for (kind, field) in KINDS {
            let path = format!("{kind}/old");
            let old = test.get(&path).await.expect(StatusCode::OK);
            assert!(old["out_of_reach"].as_str().unwrap().contains("LATCHKEY_UPSTREAM_ALLOW"), "{old}");
            let list = test.get(kind).await.expect(StatusCode::OK);
            assert_eq!(list["items"][0]["out_of_reach"], old["out_of_reach"]);
            test.patch(&path, json!({"credential": "sk-1"})).await.expect(StatusCode::OK);
            test.patch(&path, json!({"enabled": false})).await.expect(StatusCode::OK);
            assert_eq!(test.patch(&path, json!({"enabled": true})).await.refused(422), pair("invalid", field));
        }
        let mut boss = Visitor::owner(&test).await;
        for path in ["/admin/providers/old", "/admin/mcp-servers/old"] {
            let page = boss.open(path).await;
            assert!(page.all("[role=alert]")[0].contains("Out of reach"), "{}", page.main());
        }
        for path in ["/admin/providers", "/admin/mcp-servers"] {
            assert!(boss.open(path).await.all(".badge").contains(&"out of reach".to_owned()), "{path}");
        }
    }
}

on_both! {
    /// Whoever may edit a URL need not know the credential that is sent there.
    async fn a_credential_stays_only_where_it_was(test: Test) {
        for (kind, field) in KINDS {
            let mut body = new(kind, "kept", "https://models.acme.example/v1");
            body["credential"] = json!("sk-1");
            test.post(kind, body).await.expect(StatusCode::CREATED);
            let path = format!("{kind}/kept");
            for url in ["https://models.acme.example/v2", "https://models.acme.example:443/v1"] {
                test.patch(&path, json!({field: url})).await.expect(StatusCode::OK);
            }
            for url in ["https://evil.example/v1", "https://models.acme.example:8443/v1"] {
                let refused = test.patch(&path, json!({field: url})).await;
                assert_eq!(refused.refused(422), pair("invalid", "credential"), "{url}");
            }
            let kept = test.get(&path).await.expect(StatusCode::OK);
            assert_eq!((&kept[field], &kept["has_credential"]), (&json!("https://models.acme.example:443/v1"), &json!(true)));
            let given = json!({field: "https://eu.acme.example/v1", "credential": "sk-2"});
            test.patch(&path, given).await.expect(StatusCode::OK);
            let removed = json!({field: "https://us.acme.example/v1", "credential": null});
            assert_eq!(test.patch(&path, removed).await.expect(StatusCode::OK)["has_credential"], false);
            test.patch(&path, json!({field: "https://ap.acme.example/v1"})).await.expect(StatusCode::OK);
        }
    }
}

on_both! {
    async fn a_credential_goes_in_plain_text_to_private_hosts_alone(test: Test) {
        let mut test = test;
        open(&mut test, &["127.0.0.0/8", "10.1.0.0/16", "vllm.acme.example"]);
        for (kind, field) in KINDS {
            for url in ["http://8.8.8.8/v1", "http://[2606:4700::1111]/v1", "http://models.acme.example/v1"] {
                let mut body = new(kind, "plain", url);
                body["credential"] = json!("sk-1");
                assert_eq!(test.post(kind, body).await.refused(422), pair("invalid", field), "{url}");
            }
            let private = ["http://127.0.0.1:9100/v1", "http://10.1.2.3/v1", "http://vllm.acme.example/v1"];
            for (name, url) in ["a", "b", "c"].into_iter().zip(private) {
                let mut body = new(kind, name, url);
                body["credential"] = json!("sk-1");
                test.post(kind, body).await.expect(StatusCode::CREATED);
            }
            let path = format!("{kind}/a");
            let public = json!({field: "http://8.8.8.8/v1", "credential": "sk-2"});
            assert_eq!(test.patch(&path, public).await.refused(422), pair("invalid", field));
            // Without one it may go there, and gets none.
            let public = json!({field: "http://8.8.8.8/v1", "credential": null});
            test.patch(&path, public).await.expect(StatusCode::OK);
            assert_eq!(test.patch(&path, json!({"credential": "sk-2"})).await.refused(422), pair("invalid", field));
        }
    }
}

on_both! {
    async fn the_console_refuses_it_beside_the_field(test: Test) {
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/providers/new").await;
        let page = boss.submit(&page, "/admin/providers", &[("name", "x"), ("base_url", "http://127.1/v1")]).await;
        assert_eq!((page.status, page.all("#base_url-error").len()), (422, 1), "{}", page.main());
        let page = boss.open("/admin/mcp-servers/new").await;
        let page = boss.submit(&page, "/admin/mcp-servers", &[("name", "x"), ("url", "http://169.254.169.254/")]).await;
        assert_eq!((page.status, page.all("#url-error").len()), (422, 1), "{}", page.main());
    }
}

on_both! {
    async fn gateways_are_told_where_not_to_connect(test: Test) {
        test.catalogue().await;
        let opened = |list: &[&str]| Opened::new(list.iter().map(|text| text.parse().unwrap()).collect());
        let reach = async |opened: Opened| {
            let feed = Feed::open(test.store.clone(), test.api.master.clone(), String::new(), opened).await.unwrap();
            let clusters = feed.clusters().borrow().clone();
            clusters[0].reach.clone()
        };
        let closed = reach(Opened::default()).await;
        let holds = |ranges: &[ipnet::IpNet], range: &str| ranges.contains(&range.parse().unwrap());
        assert!(holds(&closed.never, "169.254.0.0/16") && holds(&closed.never, "::ffff:169.254.0.0/112"));
        assert!(holds(&closed.closed, "127.0.0.0/8") && holds(&closed.closed, "64:ff9b::a00:0/104"));
        assert!(closed.opened.is_empty());
        let here = reach(opened(&["127.0.0.1"])).await;
        assert!(holds(&here.opened, "127.0.0.1/32") && holds(&here.closed, "127.0.0.0/8"));
        let named = reach(opened(&["api.openai.com"])).await;
        assert_eq!((&named.closed, &named.never), (&vec![], &closed.never), "wherever its private addresses are");
    }
}

//! What a change would have done to past requests.

use axum::http::StatusCode;
use latchkey_core::actor::Actor;
use serde_json::{Value, json};

use crate::ledger::gateway::edit_settings;
use crate::support::{START_MS, Test, id, on_both, pair};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// A provider `openai` with `gpt-4o`, which costs a dollar and two for a million tokens, and another provider with the
/// same model at double the price.
async fn catalogue(test: &Test) {
    for (provider, factor) in [("openai", 1), ("other", 2)] {
        let body = json!({"name": provider, "kind": "openai", "base_url": "https://api.openai.com/v1"});
        test.post("/providers", body).await.expect(StatusCode::CREATED);
        for (name, price) in [("gpt-4o", 1), ("o3", 10)] {
            let price = price * factor;
            let price = json!({"input": price.to_string(), "cached_input": price.to_string(), "output": (2 * price).to_string()});
            let model = json!({"name": name, "provider": provider, "price": price});
            test.post("/models", model).await.expect(StatusCode::CREATED);
        }
    }
}

/// A request of an app `ago` milliseconds ago, of 1,000 tokens of input and 1,000 of output for $0.003.
async fn request(test: &Test, app: &Value, ago: i64, more: Value) {
    let mut row = json!({
        "at": START_MS - ago, "app_id": app["id"], "key_id": app["key"]["id"], "model": "gpt-4o",
        "served_model": "gpt-4o", "provider": "openai", "input_tokens": 1_000, "output_tokens": 1_000,
        "cost": 3_000_000, "client_address": "10.0.0.1",
    });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    test.insert("records", row).await;
}

async fn simulate(test: &Test, app: &Value, edit: Value) -> Value {
    test.post(&format!("/apps/{}/simulation", id(app)), edit).await.expect(StatusCode::OK)
}

/// How many requests would be refused, of how many.
fn refused(simulation: &Value) -> (u64, u64) {
    let count = |name: &str| {
        assert_eq!(simulation[name]["error"], 0, "all were looked at");
        simulation[name]["count"].as_u64().unwrap()
    };
    (count("would_be_refused"), count("requests"))
}

fn spend(simulation: &Value) -> (&str, &str) {
    (simulation["spend_then"].as_str().unwrap(), simulation["spend_would_be"].as_str().unwrap())
}

on_both! {
    async fn an_edit_is_tried_on_past_requests_and_changes_nothing(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        let alice = test.user("alice@acme.com").await;
        request(&test, &app, 8 * DAY_MS, json!({"model": "o3", "served_model": "o3"})).await;
        for number in 0..3 {
            request(&test, &app, 6 * DAY_MS - number, json!({"user_id": alice})).await;
        }
        let by_alice = json!({"model": "o3", "served_model": "o3", "cost": 30_000_000, "user_id": alice, "identity": "alice@acme.com"});
        for number in 0..2 {
            request(&test, &app, 2 * DAY_MS - number, by_alice.clone()).await;
        }
        let stranger = json!({"model": "o3", "served_model": "o3", "cost": 30_000_000, "identity": "bob@acme.com"});
        request(&test, &app, 1, stranger).await;
        let refused_then = json!({"code": "model_not_found", "model": "o9", "served_model": "", "cost": 0, "repeats": 4});
        request(&test, &app, 1, refused_then).await;
        let tried = simulate(&test, &app, json!({"allowed_models": ["gpt-4o"]})).await;
        assert_eq!(refused(&tried), (3, 10), "{tried:#}");
        assert_eq!((&tried["refused_then"]["count"], &tried["no_longer_refused"]["count"]), (&json!(4), &json!(0)));
        assert_eq!(tried["refused_by_rule"], json!([{"code": "model_not_allowed", "owner": null, "limit": null, "requests": 3}]));
        assert_eq!(tried["refused_by_model"], json!([{"model": "o3", "requests": 3}]));
        assert_eq!(tried["refused_by_user"], json!([
            {"user_id": alice, "email": "alice@acme.com", "requests": 2},
            {"user_id": null, "email": "bob@acme.com", "requests": 1},
        ]));
        assert_eq!(spend(&tried), ("0.099", "0.009"));
        assert_eq!((&tried["cannot_tell"], &tried["sampled_one_of"], &tried["complete"]), (&json!([]), &json!(1), &json!(true)));
        assert_eq!((&tried["from"], &tried["to"]), (&json!("2025-12-25T00:00:00Z"), &json!("2026-01-01T00:00:00Z")));
        let path = format!("/apps/{}/simulation?days=9", id(&app));
        let longer = test.post(&path, json!({"allowed_models": ["gpt-4o"]})).await.expect(StatusCode::OK);
        assert_eq!(refused(&longer), (4, 11));
        let now = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(now["allowed_models"], "all");
        assert_eq!(test.audited_of(&id(&app)).await, ["app.created"]);
    }
}

on_both! {
    async fn only_what_the_change_does_differently_is_its_effect(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        for number in 0..4 {
            request(&test, &app, DAY_MS - number, json!({"model": "o3", "served_model": "o3"})).await;
        }
        // What is forbidden since is forbidden with and without the change.
        edit_settings(&test, &app, |settings| {
            settings.allowed_models = latchkey_core::selection::Selection::Only(vec!["gpt-4o".to_owned()]);
            settings.limits.requests_per_minute = Some(1);
        }).await;
        assert_eq!(refused(&simulate(&test, &app, json!({"tags": ["red"]})).await), (0, 4));
        let more = simulate(&test, &app, json!({"allowed_models": "none"})).await;
        assert_eq!((refused(&more), spend(&more)), ((0, 4), ("0.012", "0.012")));
        assert_eq!((&more["cannot_tell"][0]["what"], &more["cannot_tell"][0]["requests"]), (&json!("refused_anyway"), &json!(4)));
        // The key is revoked since. It was good when these requests came.
        test.act(&format!("/apps/{}/key/rotate", id(&app))).await.expect(StatusCode::OK);
        edit_settings(&test, &app, |settings| {
            settings.allowed_models = latchkey_core::selection::Selection::All;
            settings.limits.requests_per_minute = None;
        }).await;
        assert_eq!(refused(&simulate(&test, &app, json!({"allowed_models": "none"})).await), (4, 4));
    }
}

on_both! {
    async fn each_rule_that_records_tell_of_is_judged_by_the_gate(test: Test) {
        catalogue(&test).await;
        let server = json!({"name": "files", "url": "https://mcp.acme.com/"});
        test.post("/mcp-servers", server).await.expect(StatusCode::CREATED);
        let app = test.app(json!({"identity": {"header": true}, "mcp_scope": "all"})).await;
        request(&test, &app, 9, json!({"conversation_id": "c-1", "client_address": "192.0.2.7"})).await;
        request(&test, &app, 8, json!({"identity": "al@acme.com", "identity_source": "header"})).await;
        request(&test, &app, 7, json!({"identity": "eve@evil.com", "identity_source": "header"})).await;
        let tool = json!({"endpoint": "mcp", "model": "files/drop", "served_model": "", "provider": "mcp/files", "cost": 0});
        request(&test, &app, 6, tool).await;
        for (edit, code, count) in [
            (json!({"require_conversation_id": true}), "conversation_id_required", 3),
            (json!({"ip_allow_list": ["10.0.0.0/8"]}), "ip_not_allowed", 1),
            (json!({"identity": {"header": true, "allowed_domains": ["acme.com"]}}), "identity_not_allowed", 1),
            (json!({"identity": {"header": true, "enforce": true}}), "identity_required", 2),
            (json!({"mcp_scope": ["files/read"]}), "mcp_tool_not_allowed", 1),
            (json!({"mcp_scope": "none"}), "mcp_server_not_allowed", 1),
            (json!({"mode": "named", "identity": {}}), "named_key_required", 4),
            (json!({"allowed_providers": "none"}), "provider_not_allowed", 3),
        ] {
            let tried = simulate(&test, &app, edit.clone()).await;
            assert_eq!(tried["refused_by_rule"][0]["code"], code, "{edit} {tried:#}");
            assert_eq!(refused(&tried), (count, 4), "{edit} {tried:#}");
        }
    }
}

on_both! {
    async fn what_was_refused_and_would_pass_is_counted_and_costs_nothing_that_is_known(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({"allowed_models": ["gpt-4o"], "ip_allow_list": ["10.0.0.0/8"]})).await;
        let denied = |code: &str, more: Value| {
            let mut row = json!({"code": code, "cost": 0, "input_tokens": 0, "output_tokens": 0, "served_model": "", "provider": "", "status": 403});
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        request(&test, &app, 9, denied("model_not_allowed", json!({"model": "o3", "repeats": 5}))).await;
        // Refused before its body was read.
        request(&test, &app, 8, denied("ip_not_allowed", json!({"model": "", "client_address": "192.0.2.1"}))).await;
        request(&test, &app, 7, denied("guardrail_blocked", json!({}))).await;
        request(&test, &app, 6, json!({})).await;
        let passed = async |edit: Value| {
            let tried = simulate(&test, &app, edit).await;
            assert_eq!((refused(&tried), spend(&tried)), ((0, 8), ("0.003", "0.003")));
            assert_eq!(tried["refused_then"]["count"], 7);
            tried["no_longer_refused"]["count"].as_u64().unwrap()
        };
        assert_eq!(passed(json!({"allowed_models": "all"})).await, 5);
        assert_eq!(passed(json!({"ip_allow_list": null})).await, 1);
        assert_eq!(passed(json!({"ip_allow_list": null, "allowed_models": "all"})).await, 6);
        assert_eq!(passed(json!({"tags": ["red"]})).await, 0);
    }
}

on_both! {
    /// Neither as refused, nor as let in, nor as left alone.
    async fn what_depends_on_arguments_cannot_be_told(test: Test) {
        catalogue(&test).await;
        let server = json!({"name": "files", "url": "https://mcp.acme.com/"});
        test.post("/mcp-servers", server).await.expect(StatusCode::CREATED);
        let rule = |glob: &str| json!([{"tool": "files/drop", "argument": "/path", "glob": glob}]);
        let app = test.app(json!({"mcp_scope": "all", "mcp_argument_rules": rule("/tmp/*")})).await;
        let message = |model: &str, code: &str| json!({
            "endpoint": "mcp", "model": model, "code": code, "served_model": "", "provider": "mcp/files", "cost": 0,
        });
        for (ago, model, code) in [
            (9, "files/drop", "mcp_argument_denied"),
            (8, "files/drop", ""),
            (7, "files/read", ""),
            (6, "", "mcp_tool_not_allowed"),
            (5, "", ""),
            (4, "files/Drop", ""),
            (3, "files/drop", "mcp_tool_changed"),
        ] {
            request(&test, &app, ago, message(model, code)).await;
        }
        let untold = async |edit: Value| {
            let tried = simulate(&test, &app, edit).await;
            assert_eq!(tried["no_longer_refused"]["count"], 0, "{tried:#}");
            let told = tried["cannot_tell"].as_array().unwrap().iter();
            let arguments = told.filter(|it| it["what"] == "mcp_arguments").map(|it| it["requests"].as_u64());
            (refused(&tried).0, arguments.flatten().sum::<u64>())
        };
        assert_eq!(untold(json!({"tags": ["red"]})).await, (0, 0));
        let stricter = json!({"mcp_argument_rules": rule("/tmp/x/*")});
        assert_eq!(untold(stricter).await, (0, 4), "both of drop, its other spelling, and the unknown method");
        let none = json!({"mcp_argument_rules": []});
        assert_eq!(untold(none).await, (0, 2), "what was let in still is");
        let of_another = json!([{"tool": "files/drop", "argument": "/path", "glob": "/tmp/*"}, {"tool": "files/read", "argument": "/path", "absent": true}]);
        assert_eq!(untold(json!({"mcp_argument_rules": of_another})).await, (0, 2), "read, and the unknown method");
        let scoped = json!({"mcp_scope": ["files/read"], "mcp_argument_rules": []});
        assert_eq!(untold(scoped).await, (2, 1), "drop is refused whatever its arguments");
    }
}

on_both! {
    async fn limits_are_replayed_in_the_order_of_time(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        // Three a minute, for ten minutes.
        for number in 0..30 {
            request(&test, &app, 30 * MINUTE_MS - number * (MINUTE_MS / 3), json!({})).await;
        }
        let tried = simulate(&test, &app, json!({"limits": {"requests_per_minute": 2}})).await;
        // Two pass, and two are refused: what is counted leaves the window after 61 seconds.
        assert_eq!(refused(&tried), (14, 30), "{tried:#}");
        assert_eq!(tried["refused_by_rule"][0]["limit"], "requests_per_minute");
        assert_eq!(tried["refused_by_rule"][0]["owner"], "app");
        // Of $0.03 the ten requests come that cost $0.003.
        let tried = simulate(&test, &app, json!({"limits": {"budget": {"usd": "0.03", "per": "total"}}})).await;
        assert_eq!((refused(&tried), spend(&tried)), ((20, 30), ("0.09", "0.03")), "{tried:#}");
        assert_eq!(tried["refused_by_rule"][0]["code"], "insufficient_quota");
        // Answers of 500 tokens cost $0.001 less each.
        let tried = simulate(&test, &app, json!({"limits": {"max_output_tokens": 500}})).await;
        assert_eq!((&tried["shortened"]["count"], spend(&tried)), (&json!(30), ("0.09", "0.06")), "{tried:#}");
        let tried = simulate(&test, &app, json!({"limits": {"max_input_tokens": 999}})).await;
        assert_eq!(tried["refused_by_rule"][0]["code"], "max_input_tokens_exceeded");
        assert_eq!(refused(&tried), (30, 30));
    }
}

on_both! {
    async fn a_budget_begins_with_what_was_used_before_the_time_that_is_looked_at(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        request(&test, &app, 1, json!({})).await;
        let used = async |ago_days: i64, cost: i64| {
            test.insert("usage_days", json!({
                "day": START_MS / DAY_MS - ago_days, "app_id": app["id"], "key_id": app["key"]["id"], "cost": cost, "input_tokens": 10,
            })).await;
        };
        let budget = |per: &str| json!({"limits": {"budget": {"usd": "0.01", "per": per}}});
        assert_eq!(refused(&simulate(&test, &app, budget("total")).await), (0, 1));
        used(20, 9_000_000).await;
        assert_eq!(refused(&simulate(&test, &app, budget("total")).await), (1, 1));
        assert_eq!(refused(&simulate(&test, &app, budget("week")).await), (0, 1), "another week");
        // The request came on a Wednesday, the last of December.
        assert_eq!(refused(&simulate(&test, &app, budget("month")).await), (1, 1), "the same month");
        let elsewhere = json!({"time_zone": "Asia/Tokyo", "limits": {"budget": {"usd": "0.01", "per": "month"}}});
        assert_eq!(refused(&simulate(&test, &app, elsewhere).await), (0, 1), "there January had begun");
    }
}

on_both! {
    async fn what_was_used_is_the_same_wherever_the_time_is_cut(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        let today = START_MS / DAY_MS;
        let moments: Vec<_> = (0..24).map(|number| (today - 3) * DAY_MS + number * DAY_MS / 8 + 7).collect();
        for (number, at) in moments.iter().enumerate() {
            request(&test, &app, START_MS - at, json!({"cost": 1_i64 << number})).await;
        }
        for day in today - 3..today {
            let cost: i64 = (0..24).filter(|number| moments[*number] / DAY_MS == day).map(|number| 1_i64 << number).sum();
            test.insert("usage_days", json!({
                "day": day, "app_id": app["id"], "key_id": app["key"]["id"], "cost": cost, "input_tokens": 10,
            })).await;
        }
        let cuts: Vec<_> = (0..=12).map(|number| (today - 3) * DAY_MS + number * DAY_MS / 4).collect();
        for from in &cuts {
            for to in cuts.iter().filter(|to| *to >= from) {
                let used = test.store.used_before(id(&app).parse().unwrap(), *from, *to).await.unwrap();
                let expected: u64 = (0..24).filter(|number| (*from..*to).contains(&moments[*number])).map(|number| 1_u64 << number).sum();
                assert_eq!(used.app.cost.0, expected, "{from} to {to}");
            }
        }
    }
}

on_both! {
    async fn named_keys_are_replayed_with_their_own_limits(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({"mode": "named"})).await;
        let (first, second) = (test.named_key(&app).await, {
            let user = test.user("bob@acme.com").await;
            let body = json!({"user_id": user, "name": "second", "limits": {"requests_per_minute": 3}});
            test.post(&format!("/apps/{}/keys", id(&app)), body).await.expect(StatusCode::CREATED)
        });
        for key in [&first, &second] {
            for number in 0..5 {
                let of = json!({"key_id": key["id"], "user_id": key["user_id"], "identity_source": "key"});
                request(&test, &app, 1_000 - number, of).await;
            }
        }
        let tried = simulate(&test, &app, json!({"named_key_limits": {"requests_per_minute": 2}})).await;
        assert_eq!(refused(&tried), (3, 10), "{tried:#}");
        assert_eq!((&tried["refused_by_rule"][0]["owner"], &tried["refused_by_user"][0]["user_id"]), (&json!("key"), &first["user_id"]));
        // With limits of its own, the second key is refused two of five as it is.
        test.act(&format!("/apps/{}/keys/{}/revoke", id(&app), id(&first))).await.expect(StatusCode::OK);
        let none = simulate(&test, &app, json!({"allowed_models": "none"})).await;
        assert_eq!(refused(&none), (8, 10), "the revoked key was good then: {none:#}");
    }
}

on_both! {
    async fn another_provider_costs_what_it_costs(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        // The first to offer a model serves it.
        let models = test.get("/models").await.expect(StatusCode::OK);
        let offers = models["items"].as_array().unwrap().iter().filter(|model| model["name"] == "gpt-4o");
        let offers: Vec<_> = offers.map(|model| model["provider"].as_str().unwrap()).collect();
        let [first, second] = offers[..] else { panic!("{offers:?}") };
        let cost = |provider: &str| if provider == "openai" { 3_000_000 } else { 6_000_000 };
        for number in 0..10 {
            request(&test, &app, number + 1, json!({"provider": first, "cost": cost(first)})).await;
        }
        let dollars = |provider: &str| if provider == "openai" { "0.03" } else { "0.06" };
        let tried = simulate(&test, &app, json!({"allowed_providers": [second]})).await;
        assert_eq!((refused(&tried), spend(&tried)), ((0, 10), (dollars(first), dollars(second))), "{tried:#}");
        // And counts so in a budget: half of it.
        let half = if second == "openai" { "0.015" } else { "0.03" };
        let edit = json!({"allowed_providers": [second], "limits": {"budget": {"usd": half, "per": "total"}}});
        assert_eq!(refused(&simulate(&test, &app, edit).await), (5, 10));
    }
}

on_both! {
    async fn what_logs_cannot_tell_is_said_where_the_change_touches_it(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        request(&test, &app, 1, json!({})).await;
        let named = async |edit: Value| {
            let tried = simulate(&test, &app, edit).await;
            let names = tried["cannot_tell"].as_array().unwrap().iter().map(|told| {
                assert!(!told["detail"].as_str().unwrap().is_empty());
                (told["what"].as_str().unwrap().to_owned(), told["requests"].as_u64().unwrap())
            });
            (names.collect::<Vec<_>>(), refused(&tried))
        };
        let told = |name: &str, requests: u64| vec![(name.to_owned(), requests)];
        assert_eq!(named(json!({"tags": ["red"]})).await, (vec![], (0, 1)));
        let rules = json!({"guardrails": {"rules": [{"category": "pii", "action": "block"}]}});
        assert_eq!(named(rules).await, (told("guardrails", 0), (0, 1)));
        assert_eq!(named(json!({"prompt_required": true})).await, (told("prompts", 0), (0, 1)));
        // Nobody looked at the header then.
        let identity = json!({"identity": {"header": true, "enforce": true}});
        assert_eq!(named(identity).await, (told("identity", 1), (0, 1)));
        assert_eq!(named(json!({"mcp_scope": "none"})).await, (told("mcp_arguments", 0), (0, 1)));
    }
}

on_both! {
    async fn a_change_request_and_a_rollback_are_tried_like_an_edit(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({"allowed_models": ["gpt-4o"]})).await;
        let alice = test.user("alice@acme.com").await;
        let everyone = json!({"access": {"viewer": {"mode": "everyone"}, "settings_request": {"mode": "everyone"}}});
        test.self_service(&app, everyone).await;
        edit_settings(&test, &app, |settings| settings.allowed_models = latchkey_core::selection::Selection::All).await;
        request(&test, &app, 1, json!({"model": "o3", "served_model": "o3"})).await;
        request(&test, &app, 1, json!({})).await;
        let back = format!("/apps/{}/versions/1/simulation", id(&app));
        let tried = test.get(&back).await.expect(StatusCode::OK);
        assert_eq!(refused(&tried), (1, 2), "{tried:#}");
        assert_eq!(test.get(&back.replace("/1/", "/9/")).await.refused(409).0, "version_gone");

        let token = test.token_of(&alice).await;
        let ask = async |edit: Value| {
            let body = json!({"kind": "update_config", "edit": edit, "reason": "less"});
            let path = format!("/me/apps/{}/change-requests", id(&app));
            let made = test.with(&token, "POST", &path, Some(body)).await.expect(StatusCode::CREATED);
            format!("/change-requests/{}/simulation", id(&made))
        };
        let request = ask(json!({"allowed_models": ["o3"]})).await;
        assert_eq!(refused(&test.get(&request).await.expect(StatusCode::OK)), (1, 2));
        test.patch(&format!("/apps/{}", id(&app)), json!({"allowed_models": "none"})).await.expect(StatusCode::OK);
        assert_eq!(test.get(&request).await.refused(409).0, "not_pending", "it is stale");
        assert_eq!(test.get(&format!("/change-requests/{}/simulation", test.world.id())).await.refused(404).0, "not_found");
        assert_eq!(test.audited_of(&id(&app)).await.iter().filter(|action| action.contains("rolled")).count(), 0);
    }
}

on_both! {
    async fn a_simulation_is_refused_as_its_edit_would_be(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/simulation", id(&app));
        for (edit, field) in [
            (json!({"allowed_models": ["nope"]}), "allowed_models[0]"),
            (json!({"ip_allow_list": ["x"]}), "ip_allow_list[0]"),
            (json!({"limits": {"requests_per_minute": 0}}), "limits.requests_per_minute"),
            (json!({"wrong": 1}), "wrong"),
        ] {
            let as_edit = test.patch(&format!("/apps/{}", id(&app)), edit.clone()).await.refused(422);
            assert_eq!(test.post(&path, edit).await.refused(422), as_edit);
            assert_eq!(as_edit.1, field);
        }
        for days in ["0", "32"] {
            assert_eq!(test.post(&format!("{path}?days={days}"), json!({})).await.refused(422), pair("invalid", "days"));
        }
        assert_eq!(test.post(&format!("{path}?days=x"), json!({})).await.refused(400).0, "invalid_query");
        test.act(&format!("/apps/{}/revoke", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(test.post(&path, json!({})).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn simulations_take_turns_and_nobody_has_two(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/simulation", id(&app));
        let alice = test.user("alice@acme.com").await;
        test.patch(&format!("/users/{alice}"), json!({"role": "auditor"})).await.expect(StatusCode::OK);
        let hers = test.token_of(&alice).await;
        let actor = Actor { user: Some(alice.parse().unwrap()), ..Actor::system("alice") };
        let turn = test.api.simulator.turn(&actor).await.unwrap();
        let busy = test.with(&hers, "POST", &path, Some(json!({}))).await;
        assert_eq!(busy.headers["retry-after"], "1");
        assert_eq!(busy.refused(503).0, "simulation_busy");
        // Another waits, and holds up nobody who changes something.
        let mut waiting = std::pin::pin!(test.post(&path, json!({})));
        assert!(futures::poll!(&mut waiting).is_pending());
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["red"]})).await.expect(StatusCode::OK);
        let short = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(short, &mut waiting).await.is_err());
        drop(turn);
        waiting.await.expect(StatusCode::OK);
        test.with(&hers, "POST", &path, Some(json!({}))).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn of_very_many_requests_a_sample_is_looked_at(test: Test) {
        catalogue(&test).await;
        let app = test.app(json!({})).await;
        let (app_id, key) = (id(&app), app["key"]["id"].as_str().unwrap().to_owned());
        // 70,000 requests, of which every fourth is for the other model.
        let columns = "at, request_id, gateway, app_id, key_id, user_id, model, served_model, provider, endpoint, status, code,
            input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost, price_version, settlement, latency_ms,
            streamed, client_address, conversation_id, metadata";
        test.sql(&[format!(
            "INSERT INTO records ({columns})
             WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 69999)
             SELECT {START_MS} - 1 - n, 'r', 'edge-1', '{app_id}', '{key}', '', CASE n % 4 WHEN 0 THEN 'o3' ELSE 'gpt-4o' END,
             'gpt-4o', 'openai', 'chat_completions', 200, '', 10, 0, 10, 0, 1000, 0, 'none', 0, 0, '', '', '{{}}' FROM numbers"
        )]).await;
        let tried = simulate(&test, &app, json!({"allowed_models": ["gpt-4o"]})).await;
        assert_eq!(tried["sampled_one_of"], 2, "{tried:#}");
        for (name, truth) in [("would_be_refused", 17_500), ("requests", 70_000)] {
            let number = |field: &str| tried[name][field].as_u64().unwrap();
            assert!(number("count").abs_diff(truth) <= number("error") && number("error") < 1_000, "{name} {tried:#}");
        }
        let dollars = |name: &str| tried[name].as_str().unwrap().parse::<f64>().unwrap();
        assert!((dollars("spend_then") - 0.07).abs() <= dollars("spend_error") && dollars("spend_error") < 0.002, "{tried:#}");
    }
}

use serde_json::{Value, json};

use super::*;

const PORTAL: MailReader<'_> = MailReader { origin: "https://keys.acme.com", pages: MailPages::Portal };
const CONSOLE: MailReader<'_> = MailReader { origin: "https://keys.acme.com", pages: MailPages::Console };

fn message(kind: &str, more: Value) -> String {
    let mut data =
        json!({"event_id": 7, "app_id": "0a", "app_name": "Support Bot", "key_id": null, "key_name": null});
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": kind, "timestamp": "2026-11-30T08:00:00Z", "data": data}).to_string()
}

fn budget(kind: &str) -> String {
    message(
        kind,
        json!({"bucket": "cost_budget", "per": "month", "limit": "10", "used": "8.12", "percent": 80}),
    )
}

#[test]
fn a_mail_says_what_happened_to_what_and_where_it_is_seen() {
    let MailContent { subject, text, html } = event_mail(&budget("quota.threshold"), PORTAL).unwrap();
    assert_eq!(subject, "Support Bot: 80% of the budget is used");
    assert_eq!(
        text,
        "Support Bot: 80% of the budget is used

80% of the budget of $10 per month: $8.12 used.
App: Support Bot
Time: Nov 30, 2026, 08:00 UTC
View app: https://keys.acme.com/apps/0a

-- 
You are receiving this email because it concerns one of your keys or an app you're responsible for.
https://keys.acme.com/account#email
"
    );
    for part in [
        "<h1 style=\"margin:0 0 16px;font-size:20px\">Support Bot: 80% of the budget is used</h1>",
        "href=\"https://keys.acme.com/apps/0a\"",
        "href=\"https://keys.acme.com/account#email\"",
    ] {
        assert!(html.contains(part), "{html}");
    }
}

#[test]
fn every_kind_has_words_of_its_own_and_leads_to_its_page() {
    let request = json!({"change_request_id": "0c", "kind": "update_config", "requester": "ada@acme.com",
        "reason": "more traffic", "comment": "why?"});
    let key = json!({"key_id": "0b", "key_name": "laptop", "days": 7, "expires_at": "2026-12-07T08:00:00Z"});
    let webhook = json!({"app_id": null, "app_name": null, "subject": {"name": "On-call"}, "reason": "it responded with 410 Gone"});
    for (kind, more, reader, subject, path) in [
        (
            "key.expiring",
            &key,
            PORTAL,
            "laptop of Support Bot: the key expires within 7 days",
            "/apps/0a/keys/0b",
        ),
        (
            "key.expiring",
            &key,
            CONSOLE,
            "laptop of Support Bot: the key expires within 7 days",
            "/admin/apps/0a/keys/0b",
        ),
        (
            "quota.exceeded",
            &json!({"bucket": "token_budget"}),
            CONSOLE,
            "Support Bot: the token budget is used up",
            "/admin/apps/0a",
        ),
        ("quota.resolved", &json!({}), PORTAL, "Support Bot: the budget is available again", "/apps/0a"),
        (
            "change_request.submitted",
            &request,
            CONSOLE,
            "ada@acme.com requested a change to Support Bot",
            "/admin/requests/0c",
        ),
        (
            "change_request.approved",
            &request,
            PORTAL,
            "Your change request for Support Bot was approved",
            "/requests/0c",
        ),
        (
            "change_request.rejected",
            &request,
            CONSOLE,
            "Your change request for Support Bot was rejected",
            "/requests/0c",
        ),
        (
            "change_request.failed",
            &request,
            PORTAL,
            "Your change request for Support Bot could not be applied",
            "/requests/0c",
        ),
        (
            "change_request.stale",
            &request,
            PORTAL,
            "Your change request for Support Bot is out of date",
            "/requests/0c",
        ),
        ("webhook.disabled", &webhook, CONSOLE, "The webhook On-call was disabled", "/admin/webhooks"),
    ] {
        let mail = event_mail(&message(kind, more.clone()), reader).unwrap();
        assert_eq!(mail.subject, subject, "{kind}");
        assert!(mail.text.contains(&format!(": https://keys.acme.com{path}\n")), "{kind}: {}", mail.text);
    }
    let decided = event_mail(&message("change_request.rejected", request), PORTAL).unwrap().text;
    assert!(
        decided.contains("Change: update config\nYour reason: more traffic\nAdmin's comment: why?\n"),
        "{decided}"
    );
    assert_eq!(event_mail(&message("key.created", json!({})), PORTAL), None);
}

#[test]
fn names_are_neither_html_nor_headers_nor_hidden() {
    let name = "<b>\"Bot\"</b>\r\nBcc: all@acme.com\u{202e} & 'Söhne' 👩🏽\u{200d}💻";
    let MailContent { subject, text, html } =
        event_mail(&message("quota.exceeded", json!({"app_name": name})), PORTAL).unwrap();
    let shown = "<b>\"Bot\"</b> Bcc: all@acme.com⟨U+202E⟩ & 'Söhne' 👩🏽\u{200d}💻";
    assert_eq!(subject, format!("{shown}: the budget is used up"));
    assert!(text.contains(&format!("App: {shown}\n")), "{text}");
    let escaped =
        "&lt;b&gt;&quot;Bot&quot;&lt;/b&gt; Bcc: all@acme.com⟨U+202E⟩ &amp; &#39;Söhne&#39; 👩🏽\u{200d}💻";
    assert!(
        html.contains(&format!(
            "<td style=\"padding:2px 0;vertical-align:top;overflow-wrap:anywhere\">{escaped}</td>"
        )),
        "{html}"
    );
    assert!(!html.contains("<b>"));
    let long = message("quota.exceeded", json!({"app_name": "x".repeat(5_000)}));
    assert_eq!(event_mail(&long, PORTAL).unwrap().subject.chars().count(), 151);
    // An id that is none leads nowhere else.
    let forged = message("quota.exceeded", json!({"app_id": "0a\"><script>"}));
    assert!(event_mail(&forged, PORTAL).unwrap().text.contains("Open Latchkey: https://keys.acme.com/\n"));
}

#[test]
fn an_apps_own_key_has_no_page() {
    let key = json!({"key_id": "0b", "key_name": "ci", "days": 1, "expires_at": "2026-12-01T08:00:00Z", "of": "app"});
    for (reader, path) in [(PORTAL, "/apps/0a"), (CONSOLE, "/admin/apps/0a")] {
        let text = event_mail(&message("key.expiring", key.clone()), reader).unwrap().text;
        assert!(text.contains(&format!("View app: https://keys.acme.com{path}\n")), "{text}");
    }
}

#[test]
fn only_what_is_named_is_told_of_an_event() {
    let more = json!({"value": "sk-quilr-secret", "changed": ["limits"], "percent": 80});
    let mail = event_mail(&message("quota.threshold", more), PORTAL).unwrap();
    assert!(!mail.text.contains("secret") && !mail.html.contains("secret"));
}

#[test]
fn a_digest_lists_by_topic_and_says_what_it_leaves_out() {
    let key = json!({"key_id": "0b", "key_name": "laptop", "days": 1, "expires_at": "2026-12-01T08:00:00Z"});
    let messages = [message("key.expiring", key), budget("quota.threshold"), budget("quota.exceeded")];
    let MailContent { subject, text, html } = digest_mail(&messages, 4, PORTAL).unwrap();
    assert_eq!(subject, "Latchkey daily digest: 7 notifications");
    let places = [
        "== Budgets ==",
        "80% of the budget is used",
        "the budget is used up",
        "== Expiring keys ==",
        "within a day",
        "4 more notifications are not shown.",
    ];
    let places: Vec<_> =
        places.iter().map(|words| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(html.contains(">Expiring keys</h2>"));
    assert_eq!(
        digest_mail(&messages[..1], 0, PORTAL).unwrap().subject,
        "Latchkey daily digest: laptop of Support Bot: the key expires within a day"
    );
    assert_eq!(digest_mail(&[], 0, PORTAL), None);
    assert_eq!(digest_mail(&[message("key.created", json!({}))], 3, PORTAL), None);
}

#[test]
fn a_test_says_so() {
    let mail = test_mail(CONSOLE);
    assert!(mail.text.contains(
        "Email from Latchkey at https://keys.acme.com is working. Daily digests are sent at 08:00 UTC."
    ));
}

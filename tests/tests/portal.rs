//! The portal and the admin console in a real Chromium. Each test tells a story of `tests/portal`.

use latchkey_tests::mcp::McpServer;
use latchkey_tests::openid::OpenIdProvider;
use latchkey_tests::portal;
use latchkey_tests::smtp::{SmtpOptions, SmtpServer};
use latchkey_tests::stack::Stack;

async fn tell(script: &str, variables: &[(&str, &str)]) {
    let stack = Stack::start().await.unwrap();
    portal::tell_with(script, &stack, variables).await.unwrap();
}

#[tokio::test]
async fn the_first_picture() {
    tell("first_picture.py", &[]).await;
}

#[tokio::test]
async fn somebody_arrives_and_leaves_and_comes_back() {
    tell("arrival.py", &[]).await;
}

#[tokio::test]
async fn somebody_signs_in_with_their_company_account() {
    let mut stack = Stack::start().await.unwrap();
    let _provider = OpenIdProvider::serve(&mut stack).await.unwrap();
    portal::tell("company.py", &stack).await.unwrap();
}

#[tokio::test]
async fn a_user_lives_with_keys() {
    tell("keys.py", &[("SCRIPTS", "on")]).await;
}

#[tokio::test]
async fn a_user_lives_with_keys_without_scripts() {
    tell("keys.py", &[("SCRIPTS", "off")]).await;
}

#[tokio::test]
async fn a_form_sent_twice_creates_once_and_no_value_is_shown_again() {
    tell("once.py", &[]).await;
}

#[tokio::test]
async fn changes_are_asked_for_and_decided() {
    tell("change_requests.py", &[]).await;
}

#[tokio::test]
async fn access_goes_and_comes_back() {
    tell("access.py", &[]).await;
}

#[tokio::test]
async fn an_admin_runs_an_app() {
    tell("console.py", &[]).await;
}

#[tokio::test]
async fn an_owner_manages_people() {
    tell("people.py", &[]).await;
}

#[tokio::test]
async fn an_admin_fills_the_catalogue() {
    tell("catalogue.py", &[]).await;
}

#[tokio::test]
async fn an_admin_attaches_an_mcp_server() {
    let server = McpServer::telling().await.unwrap();
    tell("mcp_servers.py", &[("MCP_SERVER_URL", server.url())]).await;
}

#[tokio::test]
async fn an_admin_sends_events_to_a_program() {
    let stack = Stack::builder().variable("LATCHKEY_WEBHOOK_ALLOW", "127.0.0.0/8").start().await.unwrap();
    portal::tell("webhooks.py", &stack).await.unwrap();
}

#[tokio::test]
async fn people_choose_which_mail_they_get() {
    let server = SmtpServer::start(SmtpOptions::default()).await.unwrap();
    let stack = Stack::builder()
        .variable("LATCHKEY_SMTP_URL", &format!("smtp://{}?tls=none", server.address()))
        .variable("LATCHKEY_SMTP_FROM", "Latchkey <latchkey@acme.com>")
        .variable("LATCHKEY_PUBLIC_URL", "http://localhost:8080")
        .start()
        .await
        .unwrap();
    portal::tell("mail_choices.py", &stack).await.unwrap();
    let [test] = server.received().try_into().unwrap();
    assert_eq!(test["to"], serde_json::json!(["ada@acme.com"]));
}

#[tokio::test]
async fn a_key_is_tried_in_the_playground() {
    tell("playground.py", &[]).await;
}

#[tokio::test]
async fn what_forms_are_answered_with_is_as_it_should_be() {
    tell("answers.py", &[]).await;
}

#[tokio::test]
async fn every_page_of_an_owner_is_as_it_should_be() {
    tell("crawl.py", &[("ROLE", "owner"), ("SHARE", "1/4")]).await;
}

#[tokio::test]
async fn every_page_of_an_owner_is_as_it_should_be_second_share() {
    tell("crawl.py", &[("ROLE", "owner"), ("SHARE", "2/4")]).await;
}

#[tokio::test]
async fn every_page_of_an_owner_is_as_it_should_be_third_share() {
    tell("crawl.py", &[("ROLE", "owner"), ("SHARE", "3/4")]).await;
}

#[tokio::test]
async fn every_page_of_an_owner_is_as_it_should_be_fourth_share() {
    tell("crawl.py", &[("ROLE", "owner"), ("SHARE", "4/4")]).await;
}

#[tokio::test]
async fn every_page_of_an_auditor_is_as_it_should_be() {
    tell("crawl.py", &[("ROLE", "auditor")]).await;
}

#[tokio::test]
async fn every_page_of_a_user_is_as_it_should_be() {
    tell("crawl.py", &[("ROLE", "user")]).await;
}

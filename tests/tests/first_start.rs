//! The first start, and what its log tells to whoever reads it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use latchkey_tests::stack::control_plane::ControlPlane;
use latchkey_tests::stack::port::Port;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// What a link's page would send.
async fn accept(url: &str, link: &str) -> (u16, Value) {
    assert!(link.starts_with(&format!("{url}/invitation")), "{link}");
    let token = link.rsplit_once(['=', '#', '/']).unwrap().1;
    let body = json!({ "token": token, "password": PASSWORD });
    let client = reqwest::Client::new();
    let answer = client.post(format!("{url}/api/v1/auth/invitation")).json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn the_log_makes_nobody_an_owner_and_a_private_file_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut control_plane = ControlPlane::new(dir.path(), Port::free().unwrap(), Port::free().unwrap());
    control_plane.start().await.unwrap();
    let log = fs::read_to_string(dir.path().join("control-plane.log")).unwrap();
    let file = dir.path().join("owner-invitation");
    assert!(log.contains(&file.display().to_string()), "{log}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let link = fs::read_to_string(&file).unwrap().trim().to_owned();
    let token = link.rsplit_once(['=', '#', '/']).unwrap().1;
    assert!(!log.contains("lk_") && !log.contains("Bearer") && !log.contains(token), "{log}");
    let (status, body) = accept(&control_plane.url(), &link).await;
    assert!((200..300).contains(&status), "{status} {body}");
    let (status, _) = accept(&control_plane.url(), &link).await;
    assert!(status >= 400, "it is used up");
    // A further link leads to where this Latchkey is, too.
    let link = control_plane.command(&["admin", "invite", "--email", "owner@localhost"]).await.unwrap();
    let (status, body) = accept(&control_plane.url(), &link).await;
    assert!((200..300).contains(&status), "{status} {body}");
}

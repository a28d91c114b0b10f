//! Every page, asked for by everyone. The pages are those that the sources route to, so that a new one without
//! a rule is found.

use std::fs;
use std::path::Path;

use uuid::Uuid;

use super::visitor::Visitor;
use crate::support::on_both;

/// Pages that change people or the tokens of all: only owners send their forms.
const OWNERS: &[&str] = &["/admin/users", "/admin/tokens"];

/// Pages of the console that auditors do not see, since there is nothing for them to do.
const CHANGING: &[&str] = &["/new", "/admin/playground", "/admin/tokens"];

/// Pages of the console that are for admins alone.
const ADMINS: &str = "/admin/webhooks";

/// A page, and how it is asked for.
#[derive(Debug)]
struct Route {
    method: &'static str,
    path: String,
}

/// The routes in the sources of the pages, with an id that nothing has in the place of each.
fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("web/src")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for route in text.split(".route(").skip(1) {
            let (name, rest) = route.trim_start().trim_start_matches('"').split_once('"').unwrap();
            let handlers = rest.split(".merge(").next().unwrap();
            let filled: Vec<_> = name.split('/').map(fill).collect();
            for (method, call) in [("GET", "get("), ("POST", "post(")] {
                if handlers.contains(&format!(" {call}")) || handlers.contains(&format!(".{call}")) {
                    routes.push(Route { method, path: filled.join("/") });
                }
            }
        }
    }
    assert!(routes.len() > 60, "the sources are read: {routes:?}");
    routes
}

fn fill(part: &str) -> String {
    match part {
        "{number}" | "{version}" | "{delivery}" => "1".to_owned(),
        "{kind}" => "set_tags".to_owned(),
        _ if part.starts_with('{') => Uuid::nil().to_string(),
        _ => part.to_owned(),
    }
}

fn is_public(path: &str) -> bool {
    matches!(path, "/sign-in" | "/invitation") || path.starts_with("/assets/")
}

on_both! {
async fn every_page_asks_who_is_there(test: Test) {
    for Route { method, path } in routes().iter().filter(|route| !is_public(&route.path)) {
        let shown = Visitor::new(&test).send(method, path, Some(String::new())).await;
        let to = shown.headers.get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        assert_eq!((shown.status, to.split('?').next()), (303, Some("/sign-in")), "{method} {path}");
    }
}
}

on_both! {
async fn users_have_no_way_into_the_console(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let csrf = alice.open("/account").await.form("/sign-out");
    for Route { method, path } in routes().iter().filter(|route| route.path.starts_with("/admin")) {
        let status = alice.ask(method, path, &csrf).await;
        assert_eq!(status, 403, "{method} {path}");
    }
}
}

on_both! {
async fn auditors_see_the_console_and_change_nothing(test: Test) {
    let mut auditor = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let csrf = auditor.open("/account").await.form("/sign-out");
    for Route { method, path } in routes().iter().filter(|route| route.path.starts_with("/admin")) {
        let status = auditor.ask(method, path, &csrf).await;
        let refused = *method == "POST" || CHANGING.iter().any(|end| path.ends_with(end)) || path.starts_with(ADMINS);
        assert_eq!(status == 403, refused, "{method} {path}: {status}");
        assert!(status < 500, "{method} {path}: {status}");
    }
}
}

on_both! {
async fn only_owners_manage_people(test: Test) {
    let mut admin = Visitor::with_role(&test, "adam@acme.com", "admin").await;
    let csrf = admin.open("/account").await.form("/sign-out");
    for Route { method, path } in routes().iter().filter(|route| route.path.starts_with("/admin")) {
        let status = admin.ask(method, path, &csrf).await;
        assert!(status < 500, "{method} {path}: {status}");
        let people = OWNERS.iter().any(|start| path.starts_with(start));
        let expected = people && (*method == "POST" || CHANGING.iter().any(|end| path.ends_with(end)));
        assert_eq!(status == 403, expected && !path.ends_with("/playground"), "{method} {path}: {status}");
    }
}
}

on_both! {
async fn what_is_not_ones_own_is_not_there(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let csrf = alice.open("/account").await.form("/sign-out");
    let own = |route: &&Route| {
        (route.path.starts_with("/apps/") || route.path.starts_with("/requests/")) && route.path.contains("0000")
    };
    for Route { method, path } in routes().iter().filter(own) {
        let status = alice.ask(method, path, &csrf).await;
        assert!(matches!(status, 404 | 422), "{method} {path}: {status}");
    }
}
}

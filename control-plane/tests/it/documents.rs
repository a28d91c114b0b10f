//! What the documents list is what the control plane has, their examples are taken as they stand, and their
//! links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use clap::CommandFactory as _;
use latchkey::config::Cli;
use latchkey_api::openapi;
use latchkey_core::access::Capability;
use latchkey_core::event::KINDS;
use latchkey_core::role::Role;
use latchkey_ledger::metrics::LedgerMetrics;
use latchkey_ledger::stats::Stats;
use latchkey_proto::ledger::{Settlement, SettlementReason};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Test, id};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is under a heading, up to the next one.
fn section(page: &str, heading: &str) -> String {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n#").next().unwrap().to_owned()
}

/// The rows of every table in a text, each as its cells, without the tables' own headings.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_row = |index: usize, line: &str| {
        line.starts_with('|')
            && !line.starts_with("| --- ")
            && !lines.get(index + 1).is_some_and(|next| next.starts_with("| --- "))
    };
    let rows = lines.iter().enumerate().filter(|(index, line)| is_row(*index, line));
    let cells = |row: &str| {
        let row = row.replace("\\|", "\0");
        let cells = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
        cells.map(|cell| cell.replace('\0', "|")).collect()
    };
    rows.map(|(_, row)| cells(row)).collect()
}

fn table(path: &str, heading: &str) -> Vec<Vec<String>> {
    rows(&section(&page(path), heading))
}

/// The first cells of a table's rows, apart where there are several names in one, without what follows a name.
fn first_column(path: &str, heading: &str) -> BTreeSet<String> {
    let names = |row: Vec<String>| {
        let cell = row[0].split(':').next().unwrap_or_default().to_owned();
        cell.split(", ").map(|name| name.trim_matches('*').to_owned()).collect::<Vec<_>>()
    };
    table(path, heading).into_iter().flat_map(names).collect()
}

fn set<T: ToString>(names: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

fn fields(schema: &str) -> BTreeSet<String> {
    set(document()["components"]["schemas"][schema]["properties"].as_object().unwrap().keys())
}

#[test]
fn settings_are_all_listed_with_their_flags_and_defaults_and_no_others() {
    let mut cli = Cli::command();
    cli.build();
    let serve = cli.find_subcommand("serve").unwrap();
    let settings = serve.get_arguments().filter_map(|argument| {
        let default = argument.get_default_values().iter().map(|value| value.to_str().unwrap());
        let flag = format!("--{}", argument.get_long()?);
        Some([argument.get_env()?.to_str()?.to_owned(), flag, default.collect::<Vec<_>>().join(" ")])
    });
    // A default may be another setting.
    let listed = table("docs/configuration.md", "## Settings of `latchkey serve`").into_iter().map(|row| {
        let default = if row[2].starts_with("LATCHKEY_") { String::new() } else { row[2].clone() };
        [row[0].clone(), row[1].clone(), default]
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), settings.collect());
}

#[test]
fn commands_are_all_listed_with_their_options_and_no_others() {
    let mut cli = Cli::command();
    cli.build();
    let mut commands = BTreeMap::new();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("latchkey {}", command.get_name());
        let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
        if below.is_empty() {
            commands.insert(name, command);
        } else {
            commands.extend(below.into_iter().map(|below| (format!("{name} {}", below.get_name()), below)));
        }
    }
    let mut listed = BTreeSet::new();
    for row in table("docs/configuration.md", "## Commands") {
        let words: Vec<_> = row[0].split(' ').map(|word| word.trim_matches(['[', ']'])).collect();
        let name = words.iter().take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        let name = name.copied().collect::<Vec<_>>().join(" ");
        let options = set(words.iter().filter_map(|word| word.strip_prefix("--")));
        let command = commands.get(&name).unwrap_or_else(|| panic!("`{name}` is no command"));
        let known = command.get_arguments().filter_map(|argument| argument.get_long());
        let known = set(known.filter(|name| !["help", "version"].contains(name)));
        assert!(options.is_subset(&known), "{name}: {options:?}");
        let own = command.get_arguments().filter(|argument| argument.get_env().is_none());
        let own = set(own.filter_map(|argument| argument.get_long()).filter(|name| known.contains(*name)));
        assert!(own.is_subset(&options), "{name}: {own:?}");
        listed.insert(name);
    }
    assert_eq!(listed, set(commands.keys()));
}

#[test]
fn routes_are_all_listed_with_their_methods_and_no_others() {
    let api = page("docs/api.md");
    let (_, endpoints) = api.split_once("\n## Endpoints\n").unwrap();
    let (endpoints, _) = endpoints.split_once("\n### Without").unwrap();
    let listed = rows(endpoints).into_iter().flat_map(|row| {
        let path = format!("/api/v1{}", row[0]);
        row[1].split(", ").map(|method| (path.clone(), method.to_owned())).collect::<Vec<_>>()
    });
    let listed: Vec<_> = listed.collect();
    let document = document();
    let routes = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().map(|method| method.to_ascii_uppercase());
        methods.map(move |method| (path.clone(), method))
    });
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), routes.collect());
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "one is listed twice");
}

#[tokio::test]
async fn paths_outside_of_the_api_are_served() {
    let test = Test::sqlite().await;
    let others = table("docs/api.md", "### Without `/api/v1`");
    assert!(!others.is_empty());
    for row in others {
        let request =
            Request::builder().uri(&row[0]).header("authorization", format!("Bearer {}", test.owner));
        let answer = test.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", row[0]);
    }
}

#[tokio::test]
async fn metrics_are_all_listed_with_their_labels_and_no_others() {
    let test = Test::sqlite().await;
    test.get("/apps").await.expect(StatusCode::OK);
    let gateway = json!({"name": "edge-1", "instance": "i", "connected": true, "revision": 7, "lag": 3,
        "connected_at": "2026-01-01T00:00:00Z", "rejected": [{"resource": "catalogue", "reason": "r"}]});
    test.api.metrics.set_gateways(&[serde_json::from_value(gateway).unwrap()]);
    let stats = Stats::default();
    stats.findings.add([(("pii".to_owned(), "blocked"), 1)].into());
    let ledger = LedgerMetrics(Arc::new(stats));
    test.api.metrics.register(|registry| registry.register_collector(Box::new(ledger)));
    let text = test.api.metrics.text().unwrap();
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let measured = kinds.map(|(name, kind)| {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let sample = text.lines().filter_map(|line| line.strip_prefix(name)?.split_once(['{', ' ']));
        let (_, labels) = sample.clone().next().unwrap_or_else(|| panic!("no sample of {name}"));
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
        let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label);
        (format!("{name}{suffix}"), set(labels.filter(|label| *label != "le")))
    });
    let listed = table("docs/metrics.md", "## Metrics of the control plane").into_iter().map(|row| {
        let labels = row[1].split(", ").filter(|label| !label.is_empty());
        (row[0].clone(), set(labels))
    });
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), measured.collect());
}

#[test]
fn fields_of_records_are_all_listed_and_no_others() {
    assert_eq!(first_column("docs/logs-and-audit.md", "## Fields of a record"), fields("LogView"));
}

#[test]
fn filters_are_all_listed_and_no_others() {
    let (logs, guardrails) = (page("docs/logs-and-audit.md"), page("docs/guardrails.md"));
    let document = document();
    for (path, heading) in [
        ("/api/v1/logs", "## Request logs"),
        ("/api/v1/usage", "## Usage"),
        ("/api/v1/events", "## Events"),
        ("/api/v1/audit", "## Audit log"),
        ("/api/v1/findings", "## Findings"),
        ("/api/v1/findings/summary", "## Sums"),
    ] {
        let section = section(if path.contains("findings") { &guardrails } else { &logs }, heading);
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let filters = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap());
        let of_pages = ["cursor", "limit", "from", "to", "group_by", "metadata_key"];
        let filters = filters.filter(|name| !of_pages.contains(name));
        let (_, listed) = section.split_once("Filters: ").unwrap();
        let (listed, _) = listed.split_once(". ").or_else(|| listed.split_once(".\n")).unwrap();
        let listed = listed.split('`').skip(1).step_by(2);
        let listed = listed.filter(|name| !of_pages.contains(name) && !["429", "4xx"].contains(name));
        assert_eq!(set(listed), set(filters), "{path}");
    }
}

#[test]
fn detectors_are_all_listed_as_they_are_and_no_others() {
    let listed = table("docs/guardrails.md", "## Detectors");
    let known = latchkey_guardrails::DETECTORS.iter().map(|detector| {
        let name = format!("{}/{}", detector.category.name(), detector.name);
        let (risk, strength) = (detector.risk.name(), detector.strength.name());
        [name, detector.about.replace('`', ""), risk.to_owned(), strength.to_owned()].to_vec()
    });
    let known: Vec<_> = known.collect();
    let rows = known.iter().map(|row| format!("| `{}` | {} |\n", row[0], row[1..].join(" | ")));
    assert!(listed == known, "docs/guardrails.md must have these rows:\n{}", rows.collect::<String>());
    let strengths = latchkey_guardrails::DETECTORS.iter().map(|detector| detector.strength.name());
    let told = first_column("docs/guardrails.md", "## How far can a finding be trusted?");
    assert!(set(strengths).is_subset(&told), "{told:?}");
}

#[test]
fn guardrail_settings_and_findings_are_all_listed_and_no_others() {
    let guardrails = "docs/guardrails.md";
    assert_eq!(first_column(guardrails, "## Turn them on"), fields("GuardrailRule"));
    assert_eq!(first_column(guardrails, "## Findings"), fields("FindingView"));
    assert_eq!(first_column(guardrails, "## Actions"), words("GuardrailAction"));
    let settings = section(&page(guardrails), "## Turn them on");
    for category in words("GuardrailCategory") {
        assert!(settings.contains(&format!("`{category}`")), "{category}");
    }
    let findings = section(&page(guardrails), "## Findings");
    for action in latchkey_api::findings::ACTIONS {
        assert!(findings.contains(&format!("`{action}`")), "{action}");
    }
}

/// The words of a schema that is one of several.
fn words(schema: &str) -> BTreeSet<String> {
    let schema = &document()["components"]["schemas"][schema];
    let several = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    let words = several.iter().flat_map(|one| one["enum"].as_array().unwrap());
    set(words.map(|word| word.as_str().unwrap()))
}

#[test]
fn kinds_of_events_are_all_listed_and_no_others() {
    assert_eq!(first_column("docs/notifications.md", "## Events"), set(KINDS));
}

#[test]
fn settings_of_routing_groups_are_all_listed_and_no_others() {
    assert_eq!(first_column("docs/routing.md", "## Settings"), fields("NewRoutingGroup"));
    assert_eq!(first_column("docs/routing.md", "## Failover"), fields("Failover"));
}

#[test]
fn limits_are_all_listed_and_no_others() {
    assert_eq!(first_column("docs/limits.md", "## Which limits are there?"), fields("Limits"));
}

#[test]
fn settlements_and_their_reasons_are_all_listed_and_no_others() {
    let settlements = (1..).map_while(|number| Settlement::try_from(number).ok());
    let settlements = settlements.map(|it| it.as_str_name().trim_start_matches("SETTLEMENT_").to_lowercase());
    assert_eq!(first_column("docs/usage-charges.md", "## Settlement"), set(settlements));
    let reasons = (1..).map_while(|number| SettlementReason::try_from(number).ok());
    let reasons = reasons.map(|it| it.as_str_name().trim_start_matches("SETTLEMENT_REASON_").to_lowercase());
    assert_eq!(first_column("docs/usage-charges.md", "## Settlement reasons"), set(reasons));
}

#[test]
fn roles_capabilities_and_statuses_of_requests_are_all_listed_and_no_others() {
    let access = "docs/access.md";
    assert_eq!(first_column(access, "## Roles"), set(Role::ALL.map(Role::as_str)));
    let capabilities = set(Capability::ALL.map(Capability::as_str));
    let listed = first_column(access, "## What users may do with an app");
    let settings = set(["mode", "allow", "exceptions"]);
    assert_eq!(listed.difference(&settings).cloned().collect::<BTreeSet<_>>(), capabilities);
    let document = document();
    let statuses = document["components"]["schemas"]["ChangeRequestStatus"]["enum"].as_array().unwrap();
    let listed = first_column(access, "## Who may approve a change request?");
    assert_eq!(listed, set(statuses.iter().map(|status| status.as_str().unwrap())));
}

/// The blocks of code in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The documents that name files of the repository.
const FOR_DEVELOPERS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Every document.
fn pages() -> Vec<String> {
    let listed = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let listed = listed.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
    let of_docs = listed.map(|name| format!("docs/{name}"));
    let others = ["README.md", "SECURITY.md", "CHANGELOG.md", "envoy/README.md"];
    let others = others.into_iter().chain(FOR_DEVELOPERS).map(str::to_owned);
    of_docs.chain(others).collect()
}

#[tokio::test]
async fn calls_of_the_api_are_taken_as_they_stand() {
    let test = Test::sqlite().await;
    test.catalogue().await;
    let app = test.app(json!({"mode": "named"})).await;
    let key = test.named_key(&app).await;
    let mut calls = 0;
    for path in pages() {
        for block in blocks(&page(&path), "sh") {
            let Some((_, call)) = block.split_once("curl $LATCHKEY_API_URL/api/v1") else { continue };
            let (target, rest) = call.split_once(' ').unwrap();
            let target = target.replace("$APP", &id(&app)).replace("$KEY", &id(&key));
            let (_, body) = rest.split_once("-d '").unwrap();
            let body = serde_json::from_str(body.split('\'').next().unwrap()).unwrap();
            let answer = test.post(&target, body).await;
            assert!(answer.status.is_success(), "{path}: {:#}", answer.json);
            calls += 1;
        }
    }
    assert!(calls >= 4, "only {calls}");
}

#[tokio::test]
async fn examples_in_json_are_taken_as_they_stand() {
    let test = Test::sqlite().await;
    let app = test.app(json!({})).await;
    test.group("engineering", &[]).await;
    let taken = async |path: &str, with: &str, method: &str, target: &str| {
        let example = blocks(&page(path), "json").into_iter().find(|block| block.contains(with));
        let example =
            serde_json::from_str(&example.unwrap_or_else(|| panic!("no {with} in {path}"))).unwrap();
        let answer = test.send(test.request(method, target, Some(&example))).await;
        assert!(answer.status.is_success(), "{path}: {:#}", answer.json);
    };
    let of_app = format!("/apps/{}", id(&app));
    taken("docs/providers.md", "base_url", "POST", "/providers").await;
    let sample =
        json!({"name": "sample", "kind": "openai_compatible", "base_url": "https://sample.example/v1"});
    test.post("/providers", sample).await.expect(StatusCode::CREATED);
    taken("docs/providers.md", "long_context", "POST", "/models").await;
    for name in ["gpt-4o", "gpt-4o-mini"] {
        let model = json!({"name": name, "provider": "openai", "price": null});
        test.post("/models", model).await;
    }
    taken("docs/routing.md", "\"name\": \"fast\"", "POST", "/routing-groups").await;
    let group = test.get("/routing-groups").await.json["items"][0]["id"].as_str().unwrap().to_owned();
    taken("docs/routing.md", "up_to_tokens", "PATCH", &format!("/routing-groups/{group}")).await;
    taken("docs/access.md", "viewer", "PATCH", &format!("{of_app}/self-service")).await;
    taken("docs/user-identity.md", "jwks_url", "PATCH", &of_app).await;
    taken("docs/guardrails.md", "exception_patterns", "PATCH", &of_app).await;
    taken("docs/logs-and-audit.md", "address", "POST", &format!("{of_app}/explain")).await;
    for path in pages() {
        for block in blocks(&page(&path), "json") {
            let read: Result<Value, _> = serde_json::from_str(&block);
            assert!(read.is_ok(), "{path}: {block}");
        }
    }
}

/// A heading as GitHub names it in links.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    let text = page.split("```").step_by(2);
    let lines = text.flat_map(str::lines).filter(|line| line.starts_with('#'));
    lines.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut links = 0;
    for path in pages() {
        let text = page(&path);
        let folder = Path::new(&path).parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { PathBuf::from(&path) } else { folder.join(file) };
            assert!(root().join(&file).exists(), "{path}: `{target}` leads nowhere");
            if !heading.is_empty() {
                let there = page(file.to_str().unwrap());
                assert!(anchors(&there).contains(heading), "{path}: `{target}` is no heading there");
            }
            links += 1;
        }
    }
    assert!(links >= 100, "only {links}");
}

#[test]
fn every_page_is_listed() {
    let (front, index) = (page("README.md"), page("docs/README.md"));
    for path in
        pages().iter().filter_map(|path| path.strip_prefix("docs/")).filter(|path| *path != "README.md")
    {
        assert!(index.contains(&format!("({path})")), "docs/README.md lacks {path}");
        assert!(front.contains(&format!("(docs/{path}")), "README.md lacks {path}");
    }
}

#[test]
fn the_front_page_and_the_architecture_are_short() {
    let bytes = page("README.md").len();
    assert!((5_000..=8_192).contains(&bytes), "README.md has {bytes} bytes");
    let bytes = page("ARCHITECTURE.md").len();
    assert!(bytes <= 20_480, "ARCHITECTURE.md has {bytes} bytes");
}

/// Adds the files and folders below a folder, but for those that are built.
fn add_paths(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name == "target" || name.starts_with('.') {
            continue;
        }
        let slash = if path.is_dir() { "/" } else { "" };
        paths.push(format!("/{}{slash}", path.strip_prefix(root()).unwrap().display()));
        if path.is_dir() {
            add_paths(&path, paths);
        }
    }
}

#[test]
fn files_that_are_named_for_developers_exist() {
    let mut paths = Vec::new();
    add_paths(&root(), &mut paths);
    let is_path = |name: &&str| {
        let endings = [".rs", ".proto", ".html", ".py", ".yaml", ".md", "/"];
        let is_below = name.split_once('/').is_some_and(|(first, _)| root().join(first).is_dir());
        (is_below || endings.iter().any(|ending| name.ends_with(ending)))
            && !name.starts_with(['/', '.'])
            && !name.contains(['<', ' ', '*', '$', '\n'])
    };
    let mut named = 0;
    for document in FOR_DEVELOPERS {
        let text = page(document);
        for name in text.split('`').skip(1).step_by(2).filter(is_path) {
            let exists = paths.iter().any(|path| {
                let path = path.trim_end_matches('/');
                path.ends_with(&format!("/{}", name.trim_end_matches('/')))
            });
            assert!(exists, "{document}: there is no {name}");
            named += 1;
        }
    }
    assert!(named >= 80, "only {named}");
}

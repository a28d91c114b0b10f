//! What the documents list of the gateway is what the gateway does.

use std::collections::BTreeSet;

use latchkey_filter_core::answer::denial::Code;
use latchkey_filter_core::request::credential;
use latchkey_filter_core::request::endpoint::ModelOperation;
use latchkey_filter_core::upstream::header_filter::{
    FORWARDED, HeaderSet, WITHHELD_FROM_CLIENTS, WITHHELD_FROM_SERVERS,
};

const ERROR_CODES: &str = include_str!("../../../docs/error-codes.md");
const CALLING: &str = include_str!("../../../docs/calling-the-gateway.md");
const METRICS: &str = include_str!("../../../docs/metrics.md");
const LOGS: &str = include_str!("../../../docs/logs-and-audit.md");
const ENVOY_PARTS: &str = include_str!("../../../envoy/README.md");
const ENVOY: &str = include_str!("../../../envoy/envoy.yaml");
const METRICS_SOURCE: &str = include_str!("../../src/metrics.rs");

/// What is under a heading, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap();
    rest.split("\n#").next().unwrap()
}

/// The rows of the table under a heading, each as its cells, without the table's own heading.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let rows = section(page, heading).lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.skip(2).map(cells).collect()
}

/// The first cells of a table's rows, apart where there are several names in one.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let rows = table(page, heading).into_iter();
    rows.flat_map(|row| row[0].split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What stands in backticks.
fn names(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn sorted<T: Ord>(rows: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort();
    rows
}

#[test]
fn the_gates_codes_are_all_listed_as_they_are_and_no_others() {
    let row = |code: Code| {
        let retried = if code.may_be_retried() { "yes" } else { "no" };
        let status = code.status().to_string();
        [code.as_str(), &status, code.rule(), code.meaning(), retried].map(str::to_owned).to_vec()
    };
    assert_eq!(sorted(table(ERROR_CODES, "## Codes from the gate")), sorted(Code::ALL.map(row)));
}

#[test]
fn envoys_own_codes_are_all_listed_and_no_others() {
    let configured = ENVOY.split(r#""code":""#).skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(
        first_column(ERROR_CODES, "## Codes from Envoy"),
        configured.map(str::to_owned).collect::<BTreeSet<_>>()
    );
}

#[test]
fn every_429_is_explained_and_no_other_code() {
    let codes = ["## Codes from the gate", "## Codes from Envoy"].map(|heading| table(ERROR_CODES, heading));
    let too_many = codes.iter().flatten().filter(|row| row[1] == "429").map(|row| row[0].clone());
    let explained = first_column(ERROR_CODES, "## 429: rate limits and budgets");
    assert_eq!(explained, too_many.collect::<BTreeSet<_>>());
}

#[test]
fn the_endpoints_are_all_listed_and_no_others() {
    let posts = table(CALLING, "## Endpoints").into_iter().filter(|row| row[1] == "POST");
    let listed = posts.flat_map(|row| row[2].split(", ").map(str::to_owned).collect::<Vec<_>>());
    let served = ModelOperation::ALL.map(|operation| operation.upstream_path().to_owned());
    assert_eq!(sorted(listed), sorted(served));
}

#[test]
fn the_headers_that_reach_a_provider_are_all_listed_and_no_others() {
    let section = section(CALLING, "## Which headers reach the provider?");
    let (providers, servers) = section.split_once("**MCP servers**").unwrap();
    let (providers, _) = providers.split_once("Of the query string").unwrap();
    let prefixes: Vec<_> = FORWARDED.prefixes.iter().map(|prefix| format!("{prefix}*")).collect();
    let forwarded = FORWARDED.whole.iter().copied().chain(prefixes.iter().map(String::as_str));
    let listed = names(providers).into_iter().filter(|name| *name != "make up");
    assert_eq!(listed.collect::<BTreeSet<_>>(), forwarded.collect());

    let (servers, _) = servers.split_once("No header whose value").unwrap();
    let withheld = names(servers).into_iter();
    let withheld = withheld.filter(|name| !credential::HEADERS.contains(name));
    assert_known(withheld, WITHHELD_FROM_SERVERS);
}

#[test]
fn the_headers_that_do_not_reach_a_client_are_withheld() {
    assert_known(names(section(CALLING, "## Which headers reach the client?")), WITHHELD_FROM_CLIENTS);
}

fn assert_known<'a>(listed: impl IntoIterator<Item = &'a str>, known: HeaderSet) {
    for name in listed {
        let found = match name.strip_suffix('*') {
            Some(prefix) => known.prefixes.contains(&prefix),
            None => known.contains(name),
        };
        assert!(found, "`{name}` is not withheld");
    }
}

#[test]
fn the_filters_metrics_are_all_listed_with_their_kinds_and_no_others() {
    let defined = METRICS_SOURCE.split('"').filter(|text| text.starts_with("latchkey_"));
    let row = |name: &str| {
        let is_gauge = METRICS_SOURCE.contains(&format!("MetricType::Gauge, \"{name}\""));
        let kind = if is_gauge { "gauge" } else { "counter" };
        vec![name.replace("{}", "<code>"), kind.to_owned()]
    };
    let listed = table(METRICS, "## Metrics of the gateway").into_iter().map(|row| row[..2].to_vec());
    assert_eq!(sorted(listed), sorted(defined.map(row)));
}

#[test]
fn the_access_logs_fields_are_all_listed_and_no_others() {
    let (_, format) = ENVOY.split_once("json_format:\n").unwrap();
    let indent = format.len() - format.trim_start().len();
    let fields = format.lines().take_while(|line| line.len() > indent && line[..indent].trim().is_empty());
    let fields = fields.filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name.to_owned());
    let listed = first_column(LOGS, "## Envoy's access log");
    assert_eq!(listed, fields.collect::<BTreeSet<_>>());
}

#[test]
fn the_placeholders_of_envoys_configuration_are_all_listed_and_no_others() {
    let used = ENVOY.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    assert_eq!(
        first_column(ENVOY_PARTS, "## Fill in the configuration"),
        used.map(str::to_owned).collect::<BTreeSet<_>>()
    );
}

//! The README's tables of error codes are true.

use std::collections::BTreeSet;

use latchkey_filter_core::answer::denial::Code;

const README: &str = include_str!("../../../README.md");
const ENVOY: &str = include_str!("../../../envoy/envoy.yaml");

/// The rows of the table under a heading, each as its cells, without the table's own heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = README.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.skip(2).map(cells).collect()
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
    assert_eq!(sorted(table("### From the gate")), sorted(Code::ALL.map(row)));
}

#[test]
fn envoys_own_codes_are_all_listed_and_no_others() {
    let listed: BTreeSet<_> = table("### From Envoy itself").into_iter().map(|row| row[0].clone()).collect();
    let configured = ENVOY.split(r#""code":""#).skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(listed, configured.map(str::to_owned).collect());
}

//! Counts what is found in files, by detector, with masked excerpts:
//! `cargo run --release -p latchkey-guardrails --example find -- README.md docs/*.md`.

use std::collections::BTreeMap;

use latchkey_guardrails::{Finding, Scanner, Wanted, mask};

fn main() {
    let (scanner, wanted) = (Scanner::new(), Wanted::all());
    let mut counts: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    let mut bytes = 0;
    for path in std::env::args().skip(1) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        bytes += text.len();
        for found in scanner.find(&text, &wanted) {
            let Finding::Detector(id) = found.finding else { continue };
            let (count, excerpts) = counts.entry(id.detector().name).or_default();
            *count += 1;
            let line = text[..found.span.start].lines().count().max(1);
            excerpts.push(format!("{path}:{line}: {}", mask(&text[found.span], found.finding)));
        }
    }
    println!("{bytes} bytes");
    for (name, (count, excerpts)) in counts {
        println!("{count:>7} {name}");
        excerpts.iter().take(5).for_each(|excerpt| println!("            {excerpt}"));
    }
}

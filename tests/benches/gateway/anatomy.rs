//! What each part of the gate's work costs: gates that go no further than that part, side by side.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use latchkey_tests::stack::artifacts;

use crate::race::{Contender, Course, Measure};
use crate::report::{Report, factor};
use crate::system::{CLUSTER, System};
use crate::variant::Variant;

/// Parts of the gate's work as the filter names them, in the order of a request's way, and what each does.
const PARTS: [(&str, &str); 8] = [
    ("nothing", "Envoy enters the module, which does nothing"),
    ("headers", "the request's headers are read"),
    ("admission", "key and policy are looked up"),
    ("decision", "the body is read, units are reserved and given back"),
    ("edits", "the request becomes the provider's"),
    ("answer_headers", "the answer's headers are read and edited"),
    ("usage", "the answer's body is read"),
    ("all", "settled and recorded"),
];

/// How much the parts may differ from the whole, as a fraction of it.
const MOST_DIFFERENCE: f64 = 0.10;

/// Measures the gate as it is for use, plain proxying, the floor, and the gate's parts, with limits, a budget and
/// records.
pub async fn measure(system: &mut System, course: Course) -> anyhow::Result<Report> {
    let filter = build()?;
    let mut variants = vec![("floor".to_owned(), r#"{"role":"floor"}"#.to_owned())];
    variants
        .extend(PARTS.map(|(part, _)| (part.to_owned(), format!(r#"{{"role":"gate","until":"{part}"}}"#))));
    for (name, configuration) in &variants {
        let config = Variant::Filter(name, configuration).write(system.stack.dir(), CLUSTER)?;
        let options = system.stack.options(name).config(&config).filter(&filter);
        system.add(options).await?;
    }
    let contenders = system.race(course)?;

    let [whole, plain, floor, parts @ ..] = &contenders[..] else { anyhow::bail!("no Envoys were started") };
    let cpu = |contender: &Contender<'_>| contender.median(Measure::Cpu, course);
    let mut report = Report::new("CPU time of Envoy per request, by the parts of the gate's work");
    let ratio = |contender: &Contender<'_>| contender.ratio_to(plain, Measure::Cpu, course).median;
    report.note("plain proxy", format!("{:.1} µs", cpu(plain)));
    let mut before = plain;
    for (part, (_, what)) in parts.iter().zip(PARTS) {
        let added = cpu(part) - cpu(before);
        report.note(what, format!("{added:+.1} µs: {:.1} µs, {}", cpu(part), factor(ratio(part))));
        before = part;
    }
    report.note("the gate for use", format!("{:.1} µs, {}", cpu(whole), factor(ratio(whole))));
    report.note(
        "floor: as many host calls, no work",
        format!("{:.1} µs, {}", cpu(floor), factor(ratio(floor))),
    );
    let difference = (cpu(before) / cpu(whole) - 1.0).abs();
    report.at_most("the parts, to the whole: difference", difference, MOST_DIFFERENCE, factor);
    let extra = (cpu(whole) - cpu(plain)) / (cpu(floor) - cpu(plain));
    report.at_most("the gate's extra over plain, to the floor's", extra, 1.5, factor);
    Ok(report)
}

/// Builds the filter that can stop after a part of its work.
fn build() -> anyhow::Result<PathBuf> {
    let script = artifacts::root().join("filter/build.sh");
    let output = Command::new(&script).arg("anatomy").stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} anatomy failed", script.display());
    let path = String::from_utf8(output.stdout)?;
    Ok(path.lines().last().context("filter/build.sh printed no path")?.into())
}

//! Builds of the filter side by side, for whoever changes how it is built or what it does.

use std::path::PathBuf;

use crate::race::{Course, Measure};
use crate::report::{Report, factor};
use crate::system::System;

/// Measures the gate as it is built, plain proxying, and each other build, with limits, a budget and records.
pub async fn measure(system: &mut System, filters: &[PathBuf], course: Course) -> anyhow::Result<Report> {
    let mut names = vec!["as built".to_owned(), "plain proxy".to_owned()];
    for (number, filter) in filters.iter().enumerate() {
        let options = system.stack.options(&format!("build-{number}")).filter(&filter.canonicalize()?);
        system.add(options).await?;
        names.push(filter.display().to_string());
    }
    let contenders = system.race(course)?;

    let mut report = Report::new("CPU time of Envoy per request, by the build of the filter");
    for (name, contender) in names.iter().zip(&contenders) {
        let cpu = contender.median(Measure::Cpu, course);
        let ratio = contender.ratio_to(&contenders[1], Measure::Cpu, course);
        let shown = format!(
            "{cpu:.1} µs, {} to plain ({:.3} to {:.3})",
            factor(ratio.median),
            ratio.least,
            ratio.most
        );
        report.note(name, shown);
    }
    Ok(report)
}

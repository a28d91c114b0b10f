//! Whether a request costs more where many keys are used at the same time.

use crate::race::{self, Contender, Course, Measure};
use crate::report::{Report, factor};
use crate::system::System;

/// Keys that the gateway with few is called with.
const FEW: u64 = 10;

/// How much more a request may cost among many keys, each with limits and a budget of its own.
const MOST: f64 = 1.10;

/// Memory at Envoy that a key takes while it is used, in bytes, besides what every known key takes.
const MOST_BYTES: f64 = 700.0;

/// Measures two gateways that know the same keys, of which one is called with few.
pub async fn measure(system: &mut System, course: Course) -> anyhow::Result<Report> {
    system.add(system.stack.options("few")).await?;
    let keys = system.stock.len();
    // So that nearly every key was used before.
    let course = Course { warm_up: course.warm_up.max(3 * keys), ..course };
    let [many, few] = system.stack.gateways() else { anyhow::bail!("two Envoys were started") };
    let mut contenders =
        [Contender::new(few, &system.stock)?.with_keys(FEW), Contender::new(many, &system.stock)?];
    race::run(course, &mut contenders)?;

    let mut report = Report::new("Requests with limits, by how many keys are in use");
    for (keys, contender) in [FEW, keys].into_iter().zip(&contenders) {
        let cpu = contender.median(Measure::Cpu, course);
        let throughput = contender.median(Measure::Throughput, course);
        report.note(&format!("{keys} keys"), format!("{cpu:.1} µs, {throughput:.0}/s"));
    }
    let [few, many] = &contenders;
    let cpu = many.ratio_to(few, Measure::Cpu, course);
    report.note("CPU time: least and most of the rounds", format!("{:.3} to {:.3}", cpu.least, cpu.most));
    report.at_most("CPU time, many to few", cpu.median, MOST, factor);
    let [of_few, of_many] = [few, many].map(Contender::memory);
    let more = of_many?.now.saturating_sub(of_few?.now) as f64;
    report.at_most("memory per key in use", more / (keys - FEW) as f64, MOST_BYTES, |bytes| {
        format!("{bytes:.0} B")
    });
    Ok(report)
}

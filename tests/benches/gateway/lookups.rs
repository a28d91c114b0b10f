//! What a million keys cost a request.

use crate::race::{self, Contender, Course, Measure};
use crate::report::{Report, factor};
use crate::system::System;

/// With many keys and with few, at most this far apart.
const APART: f64 = 0.05;

/// Measures requests with random keys through a gateway that has few, and one that has many.
pub fn measure(few: &System, many: &System, course: Course) -> anyhow::Result<Report> {
    let mut contenders = [
        Contender::new(few.stack.gateway(), &few.stock)?,
        Contender::new(many.stack.gateway(), &many.stock)?,
    ];
    race::run(course, &mut contenders)?;

    let mut report = Report::new("Requests with random keys out of many");
    for (system, contender) in [few, many].into_iter().zip(&contenders) {
        let cpu = contender.median(Measure::Cpu, course);
        let throughput = contender.median(Measure::Throughput, course);
        report.note(&format!("{} keys", system.stock.len()), format!("{cpu:.1} µs, {throughput:.0}/s"));
    }
    let [few, many] = &contenders;
    let cpu = many.ratio_to(few, Measure::Cpu, course);
    let throughput = many.ratio_to(few, Measure::Throughput, course);
    report.note("CPU time: least and most of the rounds", format!("{:.3} to {:.3}", cpu.least, cpu.most));
    report.at_most("CPU time, many to few", cpu.median, 1.0 + APART, factor);
    report.note(
        "throughput: least and most of the rounds",
        format!("{:.3} to {:.3}", throughput.least, throughput.most),
    );
    report.at_least("throughput, many to few", throughput.median, 1.0 - APART, factor);
    Ok(report)
}

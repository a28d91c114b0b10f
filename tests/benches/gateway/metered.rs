//! What it costs Envoy to limit, measure and record requests.

use crate::FEW;
use crate::fixed::{CHUNKS, Fixed};
use crate::load::Ask;
use crate::race::{self, Contender, Course, Measure};
use crate::report::{Report, factor};
use crate::system::{CLUSTER, System};
use crate::variant::Variant;

/// The CPU time per request of a gate with limits, a budget and records, as a multiple of plain
/// proxying.
const MOST: f64 = 1.30;

/// The same for a stream.
const MOST_STREAMED: f64 = 1.20;

/// How much later a stream's first byte may come, in milliseconds.
const MOST_LATER_MS: f64 = 1.0;

/// A gate with limits, a budget and records, and the Envoy that it is compared with.
pub async fn start(provider: &Fixed) -> anyhow::Result<System> {
    let mut system = System::start_metered(provider, FEW).await?;
    let config = Variant::Plain.write(system.stack.dir(), CLUSTER)?;
    system.add(system.stack.options(Variant::Plain.name()).config(&config)).await?;
    Ok(system)
}

/// Measures chat completions that are answered with JSON.
pub fn whole(system: &System, course: Course) -> anyhow::Result<Report> {
    let mut report = Report::new("CPU time of Envoy per request, with limits, a budget and records");
    let contenders = run(system, course)?;
    compare(&mut report, &contenders, course, MOST);
    Ok(report)
}

/// Measures chat completions that are streamed, under load and one at a time.
pub fn streamed(system: &System, course: Course) -> anyhow::Result<Report> {
    let course =
        Course { ask: Ask::Stream, warm_up: course.warm_up / 10, requests: course.requests / 10, ..course };
    let mut report = Report::new("The same for a stream");
    report.note("chunks", CHUNKS.to_string());
    let contenders = run(system, course)?;
    compare(&mut report, &contenders, course, MOST_STREAMED);

    let alone = Course { connections: 1, warm_up: 0, rounds: course.rounds.div_ceil(2), ..course };
    let contenders = run(system, alone)?;
    let [gate, plain] =
        contenders.each_ref().map(|contender| contender.median(Measure::FirstByte, alone) / 1e3);
    let ms = |value: f64| format!("{value:.2} ms");
    report.note("time to first byte, plain proxy", ms(plain));
    report.note("time to first byte, gate", ms(gate));
    report.at_most("time to first byte, gate minus plain", gate - plain, MOST_LATER_MS, ms);
    Ok(report)
}

/// Runs the gate against the plain Envoy.
fn run(system: &System, course: Course) -> anyhow::Result<[Contender<'_>; 2]> {
    let [gate, plain] = system.stack.gateways() else { anyhow::bail!("two Envoys were started") };
    let mut contenders = [Contender::new(gate, &system.stock)?, Contender::new(plain, &system.stock)?];
    race::run(course, &mut contenders)?;
    Ok(contenders)
}

fn compare(report: &mut Report, [gate, plain]: &[Contender<'_>; 2], course: Course, most: f64) {
    for (name, contender) in [("plain proxy", plain), ("gate", gate)] {
        let cpu = contender.median(Measure::Cpu, course);
        let throughput = contender.median(Measure::Throughput, course);
        report.note(name, format!("{cpu:.1} µs, {throughput:.0}/s, {:.0} % busy", contender.busy() * 100.0));
    }
    let ratio = gate.ratio_to(plain, Measure::Cpu, course);
    report.note(
        "gate, to plain: least and most of the rounds",
        format!("{:.3} to {:.3}", ratio.least, ratio.most),
    );
    report.at_most("gate, to plain", ratio.median, most, factor);
}

//! What checking a key costs Envoy.

use crate::fixed::Fixed;
use crate::race::{Course, Measure};
use crate::report::{Report, factor};
use crate::system::{CLUSTER, System};
use crate::variant::Variant;

/// The gate's CPU time per request, as a multiple of plain proxying.
const MOST: f64 = 1.25;

/// Measures plain proxying, Envoy's own ways of checking keys, and the gate, under the same load.
pub async fn measure(system: &mut System, provider: &Fixed, course: Course) -> anyhow::Result<Report> {
    let authorizer = Fixed::start("authorizer", "")?;
    let keys = (0..system.stock.len()).map(|number| system.stock.value(number)).collect::<Vec<_>>();
    for variant in [Variant::Plain, Variant::ApiKeyAuth(&keys), Variant::ExtAuthz(authorizer.address())] {
        let config = variant.write(system.stack.dir(), CLUSTER)?;
        system.add(system.stack.options(variant.name()).config(&config)).await?;
    }
    let contenders = system.race(course)?;

    let mut report = Report::new("CPU time of Envoy per request: a chat completion of 1.4 kB");
    let [gate, plain, native, external] = &contenders[..] else { anyhow::bail!("four Envoys were started") };
    let shown =
        [("plain proxy", plain), ("api_key_auth", native), ("ext_authz over HTTP", external), ("gate", gate)];
    for (name, contender) in shown {
        let cpu = contender.median(Measure::Cpu, course);
        let throughput = contender.median(Measure::Throughput, course);
        let measured = format!("{cpu:.1} µs, {throughput:.0}/s, {:.0} % busy", contender.busy() * 100.0);
        report.note(name, measured);
    }
    report.note(
        "in the authorizer, besides",
        format!("{:.1} µs", authorizer.cpu_per_answer()?.as_secs_f64() * 1e6),
    );
    report.note(
        "in the provider, besides",
        format!("{:.1} µs", provider.cpu_per_answer()?.as_secs_f64() * 1e6),
    );
    for (name, contender) in &shown[1..3] {
        let ratio = contender.ratio_to(plain, Measure::Cpu, course);
        report.note(
            &format!("{name}, to plain"),
            format!("{} ({:.3} to {:.3})", factor(ratio.median), ratio.least, ratio.most),
        );
    }
    let ratio = gate.ratio_to(plain, Measure::Cpu, course);
    report.note(
        "gate, to plain: least and most of the rounds",
        format!("{:.3} to {:.3}", ratio.least, ratio.most),
    );
    report.at_most("gate, to plain", ratio.median, MOST, factor);

    for gateway in &mut system.stack.gateways_mut()[1..] {
        gateway.stop().await?;
    }
    Ok(report)
}

//! All of `pii-leak-benchmark` through the gateway: what reaches the provider, what comes back, and streams that are
//! cut at every place of every value.

use anyhow::Context as _;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack};
use serde_json::{Value, json};

use crate::report::Report;

/// What the app does about each category, in both directions.
const RULES: [(&str, &str); 3] = [("pii", "anonymize"), ("pci", "anonymize"), ("secrets", "redact")];

/// Measures them.
pub async fn measure() -> anyhow::Result<Report> {
    let stack = Stack::start().await?;
    let port = Port::free()?;
    let url = format!("http://127.0.0.1:{}/v1", port.number());
    stack.api().create_provider("judge", "openai_compatible", &url, PROVIDER_CREDENTIAL).await?;
    stack.api().create_model("judged", "judge").await?;
    let rules: Vec<_> = RULES
        .map(|(category, action)| json!({ "category": category, "action": action, "direction": "both" }))
        .into();
    let settings = json!({ "name": "judged", "guardrails": { "rules": rules } });
    let app = stack.api().create_app(settings).await?;
    stack.until_synced().await?;
    let port = port.number().to_string();
    let variables = [("MODEL", "judged"), ("CAPTURE_PORT", &port)];
    let told = stack.gateway().sdk("leaks_whole.py", &app.key, &variables).await?;
    report(&told).with_context(|| format!("reading {told}"))
}

fn report(told: &Value) -> anyhow::Result<Report> {
    let mut report = Report::new("pii-leak-benchmark: what leaks, and what comes back");
    let count = |number: f64| format!("{number:.0}");
    for (name, check) in
        [("personal", "self-check, personal data"), ("credentials", "self-check, with secrets")]
    {
        let checks = &told["checks"][name];
        let left = list(&checks["configured_upstream_boundary"]["leaked_entity_types"])?;
        report.at_most(&format!("{check}: kinds that left"), left.len() as f64, 0.0, count);
    }
    let passed = told["checks"]["personal"]["response_fidelity"]["passed"] == true;
    report.at_least("self-check: answers restored", f64::from(u8::from(passed)), 1.0, count);
    let (mut left, mut cases, mut inconclusive, mut fidelity) = (0, 0, 0, 1.0_f64);
    for run in list(&told["runs"])? {
        left += list(&run["left"])?.len();
        cases += number(&run["cases"])?;
        inconclusive += number(&run["inconclusive"])?;
        fidelity = fidelity.min(run["fidelity"].as_f64().context("a run without fidelity")?);
    }
    report.note("streams: cases", cases.to_string());
    report.at_most("streams: cases that did not end", inconclusive as f64, 0.0, count);
    report.at_most("streams: kinds that left in requests", left as f64, 0.0, count);
    report.at_least("streams: values restored", fidelity, 1.0, |rate| format!("{:.0}%", rate * 100.0));
    // The second corpus has the first one's kinds once more.
    for (corpus, kinds) in [("personal", &told["personal"]), ("secrets", &told["secrets"])] {
        for (kind, arms) in kinds.as_object().context("no kinds of values")? {
            if corpus == "secrets" && !told["personal"][kind].is_null() {
                continue;
            }
            for (arm, what) in [("whole", "in one chunk"), ("cut", "cut anywhere")] {
                let (leaked, of) = (number(&arms[arm][0])?, number(&arms[arm][1])?);
                let what = format!("{kind}, {what}: leaked of {of}");
                report.at_most(&what, leaked as f64, 0.0, count);
            }
            let partial = &told["partial"][kind];
            if !partial.is_null() {
                let what = format!("{kind}: shown in part, of {} cuts", partial["tried"]);
                report.at_most(&what, number(&partial["partial"])? as f64, 0.0, count);
            }
        }
    }
    report.note("time", format!("{} s", told["seconds"]));
    Ok(report)
}

fn list(value: &Value) -> anyhow::Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("no list: {value}"))
}

fn number(value: &Value) -> anyhow::Result<u64> {
    value.as_u64().with_context(|| format!("no number: {value}"))
}

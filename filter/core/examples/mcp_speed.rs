//! Prints what MCP messages cost a gate natively, whose clients and servers make them as costly as they can: `cargo run
//! --release -p latchkey-filter-core --example mcp_speed`.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use latchkey_filter_core::mcp::{ArgumentRules, McpMessage, ToolDefinition, ToolFilter, sightings};
use latchkey_filter_core::snapshot::{AppPolicy, McpServer, UnixMs};
use latchkey_filter_core::store::memory::Memory;
use latchkey_proto::discovery as wire;
use latchkey_proto::ledger::{DefinitionForm, ToolSighting};
use serde_json::value::RawValue;
use wire::mcp_argument_rule::Check;

/// The most rules that an app may have.
const RULES: usize = 200;

fn main() {
    let rules = (0..RULES).map(|n| wire::McpArgumentRule {
        tool: "github/*".to_owned(),
        argument: format!("/m{n}"),
        optional: true,
        check: Some(Check::Glob("*".to_owned())),
    });
    let rules = ArgumentRules::try_from(rules.collect::<Vec<_>>()).unwrap();
    for bytes in [1 << 10, 1 << 20, 16 << 20] {
        for (name, text) in [("flat", flat(bytes)), ("nested", nested(bytes, 60)), ("deep", deep(bytes))] {
            let arguments = RawValue::from_string(text).unwrap();
            let time = fastest(|| rules.check("github", "add", Some(&arguments)).is_ok());
            let is_judged = rules.check("github", "add", Some(&arguments)).is_ok();
            println!(
                "{bytes} bytes of {name} arguments by {RULES} rules: {time:.3} ms, allowed: {is_judged}"
            );
            let message = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"add","arguments":{}}}}}"#,
                arguments.get()
            );
            let time = fastest(|| McpMessage::read(message.as_bytes()).is_ok());
            println!("{bytes} bytes of {name} arguments without rules: {time:.3} ms");
        }
    }
    let (app, server) = (Rc::new(app()), Rc::new(server()));
    for (name, text) in [("flat", flat(8 << 20)), ("nested", nested(7 << 20, 60))] {
        let body = format!(r#"{{"id":1,"result":{text}}}"#);
        let time = fastest(|| {
            let mut filter = ToolFilter::new(Rc::clone(&app), Rc::clone(&server), None);
            filter.answered(200, Some("application/json"), None);
            filter.pass(body.as_bytes(), true).len()
        });
        println!("an answer of {} bytes, {name}: {time:.3} ms", body.len());
    }
    always_new_tools();
}

/// Lists of tools that nobody has seen before, as many as a gateway remembers of a server.
fn always_new_tools() {
    const LISTS: usize = 100;
    let pins = Some(wire::McpPins { pins: vec![], trust_first_use: false });
    let server = McpServer::try_from(wire::McpServer { pins, ..wire_server() }).unwrap();
    let store = Memory::default();
    sightings::begin(&store).unwrap();
    let mut times = Vec::new();
    for list in 0..LISTS {
        let tools = (0..sightings::MOST_UNPINNED).map(|tool| seen(&format!("t{list:02}{tool:03}")));
        let tools: Vec<_> = tools.collect();
        // Each list a minute after the one before.
        let now = UnixMs(i64::try_from(list).unwrap() * 60_000);
        let begun = Instant::now();
        sightings::note(&store, &server, |_| true, tools, now);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    println!(
        "{LISTS} lists of {} new tools: {:.3} ms in all, {slowest:.3} ms the slowest",
        sightings::MOST_UNPINNED,
        times.iter().sum::<f64>()
    );
    let time =
        fastest(|| sightings::with_definitions(&store, sightings::read(&store).tools, 512 << 10).len());
    println!("their definitions for a report: {time:.3} ms");
}

fn seen(tool: &str) -> ToolSighting {
    let ToolDefinition { name, text, hash } =
        ToolDefinition::read(&format!(r#"{{"name":"{tool}"}}"#)).unwrap();
    sightings::sighting("github", &name, hash, DefinitionForm::Clear, text)
}

/// The fastest of a few runs, in milliseconds.
fn fastest<T>(mut run: impl FnMut() -> T) -> f64 {
    let time = |()| {
        let begun = Instant::now();
        black_box(run());
        begun.elapsed().as_secs_f64() * 1e3
    };
    [(); 5].map(time).into_iter().fold(f64::INFINITY, f64::min)
}

/// Very many members.
fn flat(bytes: usize) -> String {
    let members: Vec<_> = (0..bytes / 12).map(|n| format!("\"x{n:06}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

/// Objects within objects, with all the text inside.
fn nested(bytes: usize, depth: usize) -> String {
    let inner = vec!["0"; bytes / 2].join(",");
    [&"{\"a\":".repeat(depth), "[", &inner, "]", &"}".repeat(depth)].concat()
}

/// As deep as fits.
fn deep(bytes: usize) -> String {
    ["{\"a\":", &"[".repeat(bytes / 2), &"]".repeat(bytes / 2), "}"].concat()
}

fn app() -> AppPolicy {
    let all = || Some(wire::Selection { kind: Some(wire::selection::Kind::All(wire::Everything {})) });
    let only = wire::selection::Kind::Only(wire::Names { names: vec!["github/get_*".to_owned()] });
    let app = wire::AppPolicy {
        id: vec![1; 16],
        name: "Bot".to_owned(),
        status: wire::Status::Active.into(),
        mode: wire::CredentialMode::Shared.into(),
        providers: all(),
        models: all(),
        mcp: Some(wire::Selection { kind: Some(only) }),
        ..wire::AppPolicy::default()
    };
    AppPolicy::try_from(app).unwrap()
}

fn server() -> McpServer {
    McpServer::try_from(wire_server()).unwrap()
}

fn wire_server() -> wire::McpServer {
    wire::McpServer {
        name: "github".to_owned(),
        cluster: "github".to_owned(),
        authority: "mcp.example".to_owned(),
        path: "/mcp".to_owned(),
        ..wire::McpServer::default()
    }
}

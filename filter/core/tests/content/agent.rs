//! The conversation of a coding agent, made from a seed: a system prompt, definitions of tools, calls with arguments in
//! JSON, and results with code, diffs, logs and stack traces. Values are planted in it, and it is written as somebody
//! might: with escapes, blanks, members in any order, and numbers in odd spellings. The benchmark and the end-to-end
//! tests use it, too.

use serde_json::Value;

/// Messages of a conversation, with the system's.
pub const MESSAGES: usize = 200;

/// An API's shape of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Chat,
    Responses,
    Messages,
}

/// Where values are planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plants {
    Nowhere,
    /// In about one of 25 texts.
    Anywhere,
    /// The same, before the last message of the assistant.
    Earlier,
    /// Only in the last message.
    Last,
}

/// A request as it is written, and what must become of it where each planted value is replaced.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub body: String,
    pub redacted: String,
    /// How many values are planted.
    pub planted: usize,
}

/// A value, and what it is redacted to.
pub const VALUES: [(&str, &str); 6] = [
    ("kim.lee@example.com", "[EMAIL]"),
    ("4111 1111 1111 1111", "[CARD]"),
    ("536-90-4399", "[SSN]"),
    ("AKIAQYLPMN5HHHFPZAM2", "[SECRET]"),
    ("5555-5555-5555-4444", "[CARD]"),
    ("jörg@example.org", "[EMAIL]"),
];

/// A card as a number, which becomes a text.
const CARD_NUMBER: &str = "4111111111111111";

/// Makes the conversation. What it says depends on the seed and the shape; where values are planted and how it is
/// written, on `style`, too: 0 writes it as programs do.
pub fn conversation(shape: Shape, seed: u64, plants: Plants, style: u64) -> Conversation {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let turns = turns(&mut random);
    let mut random = Random(seed ^ style.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut planter = Planter { random: Random(random.next() | 1), plants, planted: 0 };
    let body = match shape {
        Shape::Chat => chat(&turns, &mut planter),
        Shape::Responses => responses(&turns, &mut planter),
        Shape::Messages => messages(&turns, &mut planter),
    };
    let mut writer = Writer { random, is_plain: style == 0, spans: Vec::new() };
    writer.node(&body);
    let side = |after: bool| -> String {
        let side = |(before, redacted): &(String, Option<String>)| match redacted {
            Some(redacted) if after => redacted.clone(),
            _ => before.clone(),
        };
        writer.spans.iter().map(side).collect()
    };
    Conversation { body: side(false), redacted: side(true), planted: planter.planted }
}

/// What happens in the conversation, whatever the API.
enum Turn {
    User(String),
    /// The assistant says something and calls a tool, whose result follows.
    Call {
        said: String,
        tool: &'static str,
        arguments: Vec<(&'static str, Argument)>,
        result: String,
    },
    Assistant(String),
}

enum Argument {
    Text(String),
    Number(&'static str),
    Flag(bool),
    Texts(Vec<String>),
}

/// JSON, before it is written.
enum Node {
    Text(Vec<Piece>),
    /// A number, true, false or null, as it is written.
    Raw(String),
    /// A card where a number may stand.
    Card,
    List(Vec<Node>),
    Object(Vec<(Vec<Piece>, Node)>),
    /// JSON in a string.
    Json(Box<Node>),
}

#[derive(Clone)]
enum Piece {
    Plain(String),
    Value(usize),
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() >> 11) as usize % most
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }

    fn uuid(&mut self) -> String {
        [8, 4, 4, 4, 12].map(|digits| self.hex(digits)).join("-")
    }
}

const NAMES: [&str; 12] = [
    "ledger", "session", "router", "budget", "catalog", "replica", "window", "parser", "cursor", "lease",
    "planner", "widget",
];
const VERBS: [&str; 10] =
    ["settle", "reserve", "apply", "decode", "merge", "render", "resolve", "flush", "retry", "validate"];
const TOOLS: [(&str, &str); 6] = [
    (
        "read_file",
        "Reads a file of the workspace. Lines are numbered from 1; long files are cut, and say so.",
    ),
    ("write_file", "Writes a file of the workspace. Give the whole content: what was there is replaced."),
    ("run_command", "Runs a shell command in the workspace and returns its output and its exit status."),
    (
        "search",
        "Searches the workspace for a regular expression, and returns the lines that match with their places.",
    ),
    (
        "apply_patch",
        "Applies a unified diff to the workspace. A hunk that does not fit is refused, and nothing is changed.",
    ),
    ("todo", "Keeps the list of what is to be done: add, finish or drop an item, and say why."),
];

fn path(random: &mut Random) -> String {
    let (folder, name) = (random.one(&NAMES), random.one(&NAMES));
    let end = random.one(&["rs", "ts", "py", "go", "sql", "md"]);
    format!("{}/{folder}/src/{name}.{end}", random.one(&["crates", "packages", "services"]))
}

fn sentence(random: &mut Random) -> String {
    let (what, how, why) = (random.one(&NAMES), random.one(&VERBS), random.one(&NAMES));
    match random.below(6) {
        0 => format!(
            "The {what} has to {how} before the {why} is dropped, otherwise the test in tests/{what}.rs hangs."
        ),
        1 => format!(
            "Let me look at how `{what}::{how}` handles an empty {why} — the naïve version returned early."
        ),
        2 => format!(
            "`{how}_{what}` is called {} times per request; caching it in the {why} saves about {} µs.",
            random.below(90) + 2,
            random.below(400)
        ),
        3 => format!(
            "I'd rather not touch the {why}: v{}.{}.{} of the {what} still relies on it 🙂.",
            random.below(9),
            random.below(20),
            random.below(9)
        ),
        4 => format!("Run `cargo test -p {what} {how}` again; commit {} broke it.", random.hex(40)),
        _ => format!(
            "See {} line {}: \"{how}\" isn't idempotent, so the {why} sees it twice.",
            path(random),
            random.below(900) + 1
        ),
    }
}

fn paragraph(random: &mut Random, sentences: usize) -> String {
    (0..sentences).map(|_| sentence(random)).collect::<Vec<_>>().join(" ")
}

fn code(random: &mut Random, lines: usize) -> String {
    let mut out = String::new();
    for line in 1..=lines {
        let (name, verb, other) = (random.one(&NAMES), random.one(&VERBS), random.one(&NAMES));
        let text = match random.below(9) {
            0 => format!("pub fn {verb}_{name}(&mut self, {other}: &[u8]) -> Result<(), Error> {{"),
            1 => format!("    let {name} = self.{other}.iter().map(|it| it.{verb}()).sum::<u64>();"),
            2 => format!("    if {name}.len() > {} {{ return Err(Error::Too{verb}); }}", random.below(5_000)),
            3 => format!("\tassert_eq!({name}.{verb}(), \"{other}\\n\", \"at {{line}}\");"),
            4 => format!(
                "export const {name}Options = {{ timeoutMs: {}, path: \"/{other}\" }} as const;",
                random.below(9_999)
            ),
            5 => format!("def {verb}(self, {name}: dict[str, int] | None = None) -> \"{other}\":"),
            6 => format!(
                "    // {verb}: see https://docs.example.dev/{name}/{other}?v={}#L{}",
                random.below(9),
                random.below(200)
            ),
            7 => format!("UPDATE {name}s SET {verb}_at = $1 WHERE id = $2 AND {other}_id IS NOT NULL;"),
            _ => "}".to_owned(),
        };
        out += &format!("{line:>5}\t{text}\n");
    }
    out
}

fn diff(random: &mut Random, hunks: usize) -> String {
    let file = path(random);
    let mut out = format!(
        "diff --git a/{file} b/{file}\nindex {}..{} 100644\n--- a/{file}\n+++ b/{file}\n",
        random.hex(10),
        random.hex(10)
    );
    for _ in 0..hunks {
        let (at, name, verb) = (random.below(700) + 1, random.one(&NAMES), random.one(&VERBS));
        out += &format!(
            "@@ -{at},6 +{at},7 @@ impl {name} {{\n     fn {verb}(&self) {{\n-        self.{name}.{verb}();\n+        self.{name}.{verb}()?;\n+        Ok(())\n     }}\n"
        );
    }
    out
}

fn log(random: &mut Random, lines: usize) -> String {
    let mut out = String::new();
    for line in 0..lines {
        let (name, verb) = (random.one(&NAMES), random.one(&VERBS));
        out += &format!(
            "2026-03-14T09:{:02}:{:02}.{:03}Z {} {name}::{verb} request_id={} elapsed_ms={} status={} bytes={}\n",
            line / 60 % 60,
            line % 60,
            random.below(1_000),
            random.one(&["INFO", "DEBUG", "WARN", "ERROR"]),
            random.uuid(),
            random.below(900),
            random.one(&["200", "204", "404", "500"]),
            random.below(90_000),
        );
    }
    out
}

fn trace(random: &mut Random, frames: usize) -> String {
    let (name, verb) = (random.one(&NAMES), random.one(&VERBS));
    let mut out = format!(
        "thread '{name}::tests::{verb}' panicked at {}:{}:{}:\nassertion `left == right` failed\n  left: {}\n right: {}\nstack backtrace:\n",
        path(random),
        random.below(400) + 1,
        random.below(60) + 1,
        random.below(99),
        random.below(99)
    );
    for frame in 0..frames {
        let (name, verb) = (random.one(&NAMES), random.one(&VERBS));
        out += &format!(
            "  {frame:>2}: 0x{} - {name}::{verb}::{{{{closure}}}}\n             at /rustc/{}/library/core/src/ops/function.rs:{}:5\n",
            random.hex(12),
            random.hex(40),
            random.below(300)
        );
    }
    out
}

fn turns(random: &mut Random) -> Vec<Turn> {
    let mut turns = vec![Turn::User(paragraph(random, 6))];
    // With the system's; a call and its result are two.
    let mut count = 2;
    while count + 2 < MESSAGES {
        if random.below(20) == 0 {
            turns.push(Turn::Assistant(paragraph(random, 4)));
            turns.push(Turn::User(paragraph(random, 3)));
        } else {
            turns.push(call(random));
        }
        count += 2;
    }
    turns.push(Turn::Assistant(paragraph(random, 5)));
    turns.push(Turn::User(format!("{}\n\n```\n{}```", paragraph(random, 2), trace(random, 12))));
    turns
}

fn call(random: &mut Random) -> Turn {
    let (count, said) = (1 + random.below(2), paragraph(random, 1));
    let said = if count == 1 { said } else { String::new() };
    let (tool, arguments, result) = match random.below(6) {
        0 => {
            let lines = 20 + random.below(60);
            let arguments = vec![
                ("path", Argument::Text(path(random))),
                ("offset", Argument::Number(random.one(&["1", "1e3", "0", "1.0E+2", "-0"]))),
                ("Path", Argument::Flag(true)),
            ];
            ("read_file", arguments, code(random, lines))
        }
        1 => {
            let content = code(random, 25);
            let arguments =
                vec![("path", Argument::Text(path(random))), ("content", Argument::Text(content))];
            ("write_file", arguments, "{\"ok\":true,\"bytes\":1482}".to_owned())
        }
        2 => {
            let command = format!(
                "cd {} && cargo nextest run -E 'test({})' 2>&1 | tail -n 40",
                path(random),
                random.one(&NAMES)
            );
            let arguments =
                vec![("command", Argument::Text(command)), ("timeout_ms", Argument::Number("120000"))];
            let result = [log(random, 20), trace(random, 8)].concat();
            ("run_command", arguments, result)
        }
        3 => {
            let globs = vec![format!("**/{}*.rs", random.one(&NAMES)), "!target/**".to_owned()];
            let arguments = vec![
                ("pattern", Argument::Text(format!(r"fn\s+{}_\w+\(", random.one(&VERBS)))),
                ("globs", Argument::Texts(globs)),
                ("limit", Argument::Number("50")),
            ];
            ("search", arguments, code(random, 12))
        }
        4 => {
            let patch = diff(random, 4);
            ("apply_patch", vec![("patch", Argument::Text(patch))], diff(random, 2))
        }
        _ => {
            let arguments = vec![
                ("add", Argument::Texts(vec![sentence(random), sentence(random)])),
                ("because", Argument::Text(sentence(random))),
            ];
            ("todo", arguments, paragraph(random, 2))
        }
    };
    Turn::Call { said, tool, arguments, result }
}

/// Puts values into texts.
struct Planter {
    random: Random,
    plants: Plants,
    planted: usize,
}

impl Planter {
    /// A text of a message: `place` is where that stands.
    fn text(&mut self, text: &str, place: Plants) -> Node {
        Node::Text(self.pieces(text, place))
    }

    fn pieces(&mut self, text: &str, place: Plants) -> Vec<Piece> {
        let plants = match self.plants {
            Plants::Nowhere => false,
            Plants::Anywhere => self.random.below(25) == 0,
            Plants::Earlier => place == Plants::Earlier && self.random.below(25) == 0,
            Plants::Last => place == Plants::Last,
        };
        if !plants {
            return vec![Piece::Plain(text.to_owned())];
        }
        self.planted += 1;
        let at = text.floor_char_boundary(self.random.below(text.len() + 1));
        let (before, after) = text.split_at(at);
        let (open, close) = self.random.one(&[
            &("; see ", " and; "),
            &("\nuse \"", "\"\n"),
            &(" (", ") "),
            &(" <", "> "),
            &("\té; ", ";\t"),
        ]);
        let value = self.random.below(VALUES.len());
        vec![
            Piece::Plain(format!("{before}{open}")),
            Piece::Value(value),
            Piece::Plain(format!("{close}{after}")),
        ]
    }

    /// The arguments of a call: any JSON.
    fn arguments(&mut self, arguments: &[(&'static str, Argument)], place: Plants) -> Node {
        let mut members = Vec::new();
        for (name, argument) in arguments {
            let node = match argument {
                Argument::Text(text) => self.text(text, place),
                Argument::Number(number) => self.number(number, place),
                Argument::Flag(flag) => Node::Raw(flag.to_string()),
                Argument::Texts(texts) => {
                    Node::List(texts.iter().map(|text| self.text(text, place)).collect())
                }
            };
            members.push((self.pieces(name, place), node));
        }
        Node::Object(members)
    }

    fn number(&mut self, number: &str, place: Plants) -> Node {
        let plants = match self.plants {
            Plants::Anywhere => true,
            Plants::Earlier => place == Plants::Earlier,
            Plants::Nowhere | Plants::Last => false,
        };
        if plants && self.random.below(10) == 0 {
            self.planted += 1;
            return Node::Card;
        }
        Node::Raw(number.to_owned())
    }
}

fn plain(text: &str) -> Node {
    Node::Text(vec![Piece::Plain(text.to_owned())])
}

fn member(name: &str, node: Node) -> (Vec<Piece>, Node) {
    (vec![Piece::Plain(name.to_owned())], node)
}

fn object(members: Vec<(&str, Node)>) -> Node {
    Node::Object(members.into_iter().map(|(name, node)| member(name, node)).collect())
}

const SYSTEM: &str = "You are a coding agent in a terminal. You read files, run commands and edit the workspace with tools. \
    Work in small steps, run the tests after each, and say what you saw, not what you expect. Never push. Keep answers short.\n\
    # Environment\nplatform: linux\nshell: bash 5.2\ntoday: 2026-03-14\n# Rules\n1. Read before you write.\n2. A failing test is a fact.\n";

/// A schema of a tool's arguments.
fn schema(planter: &mut Planter) -> Node {
    let property = |planter: &mut Planter, kind: &str, about: &str| {
        object(vec![("type", plain(kind)), ("description", planter.text(about, Plants::Earlier))])
    };
    let path = property(planter, "string", "Where, from the root of the workspace.");
    let limit = property(planter, "integer", "The most that is returned, 200 by default.");
    object(vec![
        ("type", plain("object")),
        ("properties", object(vec![("path", path), ("limit", limit)])),
        ("required", Node::List(vec![plain("path")])),
        ("additionalProperties", Node::Raw("false".to_owned())),
    ])
}

/// Where each turn stands: what is after the last message of the assistant is new, and is the last.
fn place(at: usize, turns: &[Turn]) -> Plants {
    if at + 1 == turns.len() { Plants::Last } else { Plants::Earlier }
}

fn chat(turns: &[Turn], planter: &mut Planter) -> Node {
    let system = planter.text(SYSTEM, Plants::Earlier);
    let mut messages = vec![object(vec![("role", plain("system")), ("content", system)])];
    for (at, turn) in turns.iter().enumerate() {
        let place = place(at, turns);
        match turn {
            Turn::User(text) => {
                messages.push(object(vec![("role", plain("user")), ("content", planter.text(text, place))]));
            }
            Turn::Assistant(text) => {
                messages
                    .push(object(vec![("role", plain("assistant")), ("content", planter.text(text, place))]));
            }
            Turn::Call { said, tool, arguments, result } => {
                let id = format!("call_{at}");
                let said =
                    if said.is_empty() { Node::Raw("null".to_owned()) } else { planter.text(said, place) };
                let arguments = Node::Json(planter.arguments(arguments, place).into());
                let function = object(vec![("name", plain(tool)), ("arguments", arguments)]);
                let call =
                    object(vec![("id", plain(&id)), ("type", plain("function")), ("function", function)]);
                messages.push(object(vec![
                    ("role", plain("assistant")),
                    ("content", said),
                    ("tool_calls", Node::List(vec![call])),
                ]));
                let result = planter.text(result, place);
                messages.push(object(vec![
                    ("role", plain("tool")),
                    ("tool_call_id", plain(&id)),
                    ("content", result),
                ]));
            }
        }
    }
    let tools = TOOLS.map(|(name, about)| {
        let about = planter.text(about, Plants::Earlier);
        let function =
            object(vec![("name", plain(name)), ("description", about), ("parameters", schema(planter))]);
        object(vec![("type", plain("function")), ("function", function)])
    });
    object(vec![
        ("model", plain("m")),
        ("messages", Node::List(messages)),
        ("tools", Node::List(tools.into())),
        ("temperature", Node::Raw("0.20".to_owned())),
        ("max_completion_tokens", Node::Raw("4096".to_owned())),
    ])
}

fn responses(turns: &[Turn], planter: &mut Planter) -> Node {
    let mut items = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        let place = place(at, turns);
        match turn {
            Turn::User(text) | Turn::Assistant(text) => {
                let is_user = matches!(turn, Turn::User(_));
                let (role, kind) =
                    if is_user { ("user", "input_text") } else { ("assistant", "output_text") };
                let part = object(vec![("type", plain(kind)), ("text", planter.text(text, place))]);
                items.push(object(vec![
                    ("type", plain("message")),
                    ("role", plain(role)),
                    ("content", Node::List(vec![part])),
                ]));
            }
            Turn::Call { said, tool, arguments, result } => {
                if !said.is_empty() {
                    let part =
                        object(vec![("type", plain("summary_text")), ("text", planter.text(said, place))]);
                    items.push(object(vec![
                        ("type", plain("reasoning")),
                        ("summary", Node::List(vec![part])),
                        ("encrypted_content", plain("gAAAAABoZ3Vhcm1hbg==")),
                    ]));
                }
                let id = format!("call_{at}");
                let arguments = Node::Json(planter.arguments(arguments, place).into());
                items.push(object(vec![
                    ("type", plain("function_call")),
                    ("call_id", plain(&id)),
                    ("name", plain(tool)),
                    ("arguments", arguments),
                ]));
                let result = planter.text(result, place);
                items.push(object(vec![
                    ("type", plain("function_call_output")),
                    ("call_id", plain(&id)),
                    ("output", result),
                ]));
            }
        }
    }
    let tools = TOOLS.map(|(name, about)| {
        let about = planter.text(about, Plants::Earlier);
        object(vec![
            ("type", plain("function")),
            ("name", plain(name)),
            ("description", about),
            ("parameters", schema(planter)),
        ])
    });
    let instructions = planter.text(SYSTEM, Plants::Earlier);
    object(vec![
        ("model", plain("m")),
        ("instructions", instructions),
        ("input", Node::List(items)),
        ("tools", Node::List(tools.into())),
        ("store", Node::Raw("false".to_owned())),
        ("max_output_tokens", Node::Raw("4096".to_owned())),
    ])
}

fn messages(turns: &[Turn], planter: &mut Planter) -> Node {
    let text = |planter: &mut Planter, text: &str, place| {
        object(vec![("type", plain("text")), ("text", planter.text(text, place))])
    };
    let mut messages = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        let place = place(at, turns);
        match turn {
            Turn::User(said) | Turn::Assistant(said) => {
                let role = if matches!(turn, Turn::User(_)) { "user" } else { "assistant" };
                let block = text(planter, said, place);
                messages.push(object(vec![("role", plain(role)), ("content", Node::List(vec![block]))]));
            }
            Turn::Call { said, tool, arguments, result } => {
                let id = format!("toolu_{at}");
                let mut blocks = Vec::new();
                if !said.is_empty() {
                    blocks.push(text(planter, said, place));
                }
                let arguments = planter.arguments(arguments, place);
                blocks.push(object(vec![
                    ("type", plain("tool_use")),
                    ("id", plain(&id)),
                    ("name", plain(tool)),
                    ("input", arguments),
                ]));
                messages.push(object(vec![("role", plain("assistant")), ("content", Node::List(blocks))]));
                let result = planter.text(result, place);
                let cached = object(vec![("type", plain("ephemeral"))]);
                let block = object(vec![
                    ("type", plain("tool_result")),
                    ("tool_use_id", plain(&id)),
                    ("content", result),
                    ("cache_control", cached),
                ]);
                messages.push(object(vec![("role", plain("user")), ("content", Node::List(vec![block]))]));
            }
        }
    }
    let tools = TOOLS.map(|(name, about)| {
        let about = planter.text(about, Plants::Earlier);
        object(vec![("name", plain(name)), ("description", about), ("input_schema", schema(planter))])
    });
    let system = object(vec![
        ("type", plain("text")),
        ("text", planter.text(SYSTEM, Plants::Earlier)),
        ("cache_control", object(vec![("type", plain("ephemeral"))])),
    ]);
    object(vec![
        ("model", plain("c")),
        ("max_tokens", Node::Raw("4096".to_owned())),
        ("system", Node::List(vec![system])),
        ("messages", Node::List(messages)),
        ("tools", Node::List(tools.into())),
    ])
}

/// Writes JSON in parts: what comes, and what a planted value becomes.
struct Writer {
    random: Random,
    is_plain: bool,
    spans: Vec<(String, Option<String>)>,
}

impl Writer {
    fn both(&mut self, text: &str) {
        self.spans.push((text.to_owned(), None));
    }

    /// One of `of`.
    fn chance(&mut self, of: usize) -> bool {
        !self.is_plain && self.random.below(of) == 0
    }

    fn blank(&mut self) {
        if self.chance(6) {
            let blank = self.random.one(&[" ", "\t", "\n  ", " \r\n"]);
            self.both(blank);
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Text(pieces) => self.quoted(pieces),
            Node::Raw(raw) => self.both(raw),
            Node::Card => self.spans.push((CARD_NUMBER.to_owned(), Some("\"[CARD]\"".to_owned()))),
            Node::List(nodes) => {
                self.both("[");
                for (at, node) in nodes.iter().enumerate() {
                    self.both(if at == 0 { "" } else { "," });
                    self.blank();
                    self.node(node);
                }
                self.both("]");
            }
            Node::Object(members) => {
                let mut order: Vec<_> = (0..members.len()).collect();
                if self.chance(3) {
                    order.reverse();
                }
                self.both("{");
                for (at, member) in order.into_iter().enumerate() {
                    let (name, node) = &members[member];
                    self.both(if at == 0 { "" } else { "," });
                    self.blank();
                    self.quoted(name);
                    self.both(":");
                    self.blank();
                    self.node(node);
                }
                self.both("}");
            }
            Node::Json(inner) => {
                let outer = std::mem::take(&mut self.spans);
                self.node(inner);
                let inner = std::mem::replace(&mut self.spans, outer);
                self.both("\"");
                // As one: what is escaped here is not again.
                let eager = !self.is_plain && self.chance(8);
                for (before, redacted) in inner {
                    let redacted = redacted.map(|redacted| escaped(&redacted));
                    let before = if eager { self.escaped(&before) } else { escaped(&before) };
                    self.spans.push((before, redacted));
                }
                self.both("\"");
            }
        }
    }

    fn quoted(&mut self, pieces: &[Piece]) {
        self.both("\"");
        for piece in pieces {
            match piece {
                Piece::Plain(text) => {
                    let text = self.escaped(text);
                    self.both(&text);
                }
                Piece::Value(value) => {
                    let (value, redacted) = VALUES[*value];
                    let value = self.escaped(value);
                    self.spans.push((value, Some(redacted.to_owned())));
                }
            }
        }
        self.both("\"");
    }

    /// In some texts, more is escaped than must be.
    fn escaped(&mut self, text: &str) -> String {
        if !self.chance(4) {
            return escaped(text);
        }
        let mut out = String::new();
        for char in text.chars() {
            let must = char < ' ' || matches!(char, '"' | '\\');
            if self.random.below(12) == 0 {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out += &if self.random.below(2) == 0 {
                        format!("\\u{unit:04x}")
                    } else {
                        format!("\\u{unit:04X}")
                    };
                }
            } else if must {
                out += &escaped(char.encode_utf8(&mut [0; 4]));
            } else if char == '/' {
                out += "\\/";
            } else {
                out.push(char);
            }
        }
        out
    }
}

fn escaped(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

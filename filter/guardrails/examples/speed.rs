//! Prints what a scan costs: `cargo run --release -p latchkey-guardrails --example speed`. With the argument `own`, of
//! an app's own categories alone.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use latchkey_guardrails::custom::CustomDefinition;
use latchkey_guardrails::custom::exact::ExactKey;
use latchkey_guardrails::custom::learned::{BUCKETS, Model};
use latchkey_guardrails::{CustomCategory, Scanner, Wanted};

const PROSE: &str = "The quarterly report shows that revenue grew in most regions, while costs stayed flat. We should \
    look at the churn of small accounts again before the meeting on Thursday, and ask the sales team which of the three \
    offers customers liked best. ";
const CODE: &str = "fn read(path: &Path) -> Result<Vec<u8>, Error> {\n    let file = File::open(path)?;\n    \
    let mut buffer = Vec::with_capacity(4096);\n    file.take(MAX_SIZE).read_to_end(&mut buffer)?;\n    Ok(buffer)\n}\n";
const LOG: &str = "2026-01-02T03:04:05.678Z INFO request_id=3f2504e0-4f89-41d3-9a0c-0305e82c3301 status=200 bytes=51234 \
    elapsed_ms=12 path=/api/v1/items/829374 agent=\"curl/8.5.0\"\n";
const CHINESE: &str = "季度报告显示大多数地区的收入都有所增长，而成本保持不变。我们应该在周四的会议之前再看一下小客户的流失情况。";

fn main() {
    let start = Instant::now();
    let scanner = black_box(Scanner::new());
    println!("start: {:?}", start.elapsed());
    if !std::env::args().any(|argument| argument == "own") {
        built_in(&scanner);
    }
    println!("\n{:<34}{:>12}{:>12}{:>12}", "a list of 10,000 values", "1.4 kB", "64 kB", "1 MB");
    let list = own(values());
    for (name, unit) in [("prose", PROSE), ("code", CODE), ("logs", LOG), ("Chinese", CHINESE)] {
        row(&scanner, &list, name, unit);
    }
    for (name, unit) in [("words of a letter", "a "), ("numbers", "C-1234567, "), ("values", "customer 500 ")]
    {
        row(&scanner, &list, name, unit);
    }
    println!("\n{:<34}{:>12}{:>12}{:>12}", "learned from examples", "1.4 kB", "64 kB", "1 MB");
    let learned = own(CustomDefinition { learned: Model::new(&[1; BUCKETS], -1).ok(), ..Default::default() });
    for (name, unit) in [("prose", PROSE), ("code", CODE), ("logs", LOG), ("Chinese", CHINESE)] {
        row(&scanner, &learned, name, unit);
    }
}

fn built_in(scanner: &Scanner) {
    let wanted = Wanted::all();
    println!("\n{:<34}{:>12}{:>12}{:>12}", "nothing found", "1.4 kB", "64 kB", "1 MB");
    for (name, unit) in [("prose", PROSE), ("code", CODE), ("logs", LOG), ("Chinese", CHINESE)] {
        row(scanner, &wanted, name, unit);
    }
    println!("\n{:<34}{:>12}{:>12}{:>12}", "chosen to be slow", "1.4 kB", "64 kB", "1 MB");
    for (name, unit) in slow() {
        row(scanner, &wanted, name, &unit);
    }
    println!("\nnothing wanted, 1 MB: {:?}", time(scanner, &Wanted::default(), &fill(PROSE, 1 << 20)));
}

/// Customer numbers, names of two words, and a few long values.
fn values() -> CustomDefinition {
    let key = ExactKey::new(b"key");
    let value = |i: u32| match i % 3 {
        0 => format!("C-{}", 1_000_000 + i * 7),
        1 => format!("customer {i}"),
        _ => format!("the project of the year {i} in every region of the north"),
    };
    let exact = (0..10_000).flat_map(|i| key.hashes(&value(i)).unwrap_or_default()).collect();
    CustomDefinition { exact, exact_key: b"key".to_vec(), ..Default::default() }
}

fn own(definition: CustomDefinition) -> Wanted {
    let mut wanted = Wanted::default();
    if let Ok(category) = CustomCategory::compile(&definition) {
        wanted.add_custom(Arc::new(category), 2);
    }
    wanted
}

/// Texts that make single rules begin as often, and read as far, as they can.
fn slow() -> Vec<(&'static str, String)> {
    let owned = |text: &str| text.to_owned();
    vec![
        ("cards", owned("4111 1111 1111 1111, ")),
        ("groups of three digits", owned("411 ")),
        ("groups of four digits", owned("4111 ")),
        ("groups of one digit", owned("4 ")),
        ("digits with mixed separators", owned("411-23 45.6/")),
        ("Base58", owned("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3 ")),
        ("addresses without a domain", owned("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@")),
        ("percent signs", owned("%40")),
        ("prefixes", owned("sk-ant-")),
        ("prefixes in words", owned("sk-proj-a1B2c3D4 ")),
        ("token headers", owned("eyJ")),
        ("token headers with dots", owned("eyJhbGciOiJIUzI1NiJ9.eyJ ")),
        ("words for numbers", owned("ssn dob npi nif bsn tel ")),
        ("words and numbers", owned("ssn dob npi nif bsn tel 123456782 ")),
        ("assignments", owned("password=")),
        ("assignments of mixed values", owned("pwd=aA1/")),
        ("private keys", owned("-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAA\n")),
        ("private keys without lines", owned("-----BEGIN PRIVATE KEY-----")),
        ("short base64", owned("YW5uIHdyb3RlIHRvIG1lIHRvZGF5 ")),
        ("base64 of matches", owned("NDExMSAxMTExIDExMTEgMTExMQ== ")),
        ("long base64", format!("{} ", "YW5uIHdyb3RlIHRvIG1lIHRvZGF5".repeat(140))),
        ("phrases", owned("ignore all of the your my ")),
        ("plus signs", owned("+1 2 3 4 ")),
        ("colons", owned("a:b:c:d ")),
        ("IBANs", owned("GB82 WEST 1234 5698 7654 33 ")),
        ("invisible characters", owned("4\u{200b}1\u{200b}")),
        ("full-width digits", owned("４１１１ ")),
        ("styled letters", owned("𝐩𝐚𝐬𝐬 ")),
        ("one letter", owned("a")),
        ("URLs", owned("https://a:b")),
    ]
}

fn row(scanner: &Scanner, wanted: &Wanted, name: &str, unit: &str) {
    let [small, middle, large] =
        [1_400, 64 << 10, 1 << 20].map(|size| time(scanner, wanted, &fill(unit, size)));
    println!("{name:<34}{:>10.1}µs{:>10.3}ms{:>10.2}ms", small.as_secs_f64() * 1e6, ms(middle), ms(large));
}

fn fill(unit: &str, size: usize) -> String {
    let text = unit.repeat(size / unit.len() + 1);
    text[..text.floor_char_boundary(size)].to_owned()
}

/// The fastest of several.
fn time(scanner: &Scanner, wanted: &Wanted, text: &str) -> Duration {
    let rounds = (30_000_000 / text.len()).clamp(15, 2000);
    let one = |_| {
        let start = Instant::now();
        black_box(scanner.find(black_box(text), wanted));
        start.elapsed()
    };
    (0..rounds).map(one).min().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

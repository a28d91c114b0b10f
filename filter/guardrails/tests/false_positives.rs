//! What agents and people send all day, and in which no secret and no card may be found.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use latchkey_guardrails::{Category, Match, Risk, Scanner, Wanted};

/// What is found of the kinds that are usually blocked.
fn found(text: &str) -> Vec<(Match, String)> {
    let wanted = Wanted::default().with(Category::Secrets, Risk::High, 1).with(Category::Pci, Risk::Low, 1);
    static SCANNER: LazyLock<Scanner> = LazyLock::new(Scanner::new);
    let matches = SCANNER.find(text, &wanted);
    matches.into_iter().map(|found| (found.clone(), text[found.span].to_owned())).collect()
}

/// Random numbers, the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..length).map(|_| char::from(alphabet[(self.next() >> 33) as usize % alphabet.len()])).collect()
    }

    fn hex(&mut self, length: usize) -> String {
        self.text("0123456789abcdef", length)
    }
}

const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[test]
fn this_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for part in [
        "Cargo.lock",
        "Cargo.toml",
        "Makefile",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "envoy",
        "migrations",
        "filter/guardrails/src",
        "filter/src",
    ] {
        each_file(&root.join(part), &mut |path, text| assert_eq!(found(text), [], "{}", path.display()));
    }
}

fn each_file(path: &Path, check: &mut impl FnMut(&Path, &str)) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            each_file(&entry.unwrap().path(), check);
        }
    } else if let Ok(text) = std::fs::read_to_string(path) {
        // Tests within the sources have values that are found.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        check(path, text);
    }
}

#[test]
fn hashes_and_ids() {
    let mut random = Random(1);
    let mut text = String::new();
    for _ in 0..20_000 {
        let uuid = [8, 4, 4, 4, 12].map(|length| random.hex(length)).join("-");
        let (md5, sha1, sha256) = (random.hex(32), random.hex(40), random.hex(64));
        writeln!(text, "{uuid} {md5} commit {sha1} sha256:{sha256}").unwrap();
        writeln!(text, "sha512-{}== go.sum h1:{}=", random.text(BASE64, 86), random.text(BASE64, 43))
            .unwrap();
        writeln!(text, "call_{} chatcmpl-{} msg_{}", random.text(BASE64, 24), random.hex(29), random.hex(24))
            .unwrap();
    }
    assert_eq!(found(&text), []);
}

/// Where a comma separates values, a card is one of them; where it is a decimal's, the digits are none.
#[test]
fn cards_after_a_comma() {
    let card = |text: &str| found(text).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    for text in [
        "64,4111111111111111",
        "64,4111111111111111,Ann",
        "[12,64,4111111111111111]",
        "7,4111 1111 1111 1111,x",
        "1,4111111111111111,Ann",
        "[3,4111111111111111,2]",
        "1,4111111111111111,,",
    ] {
        assert!(matches!(&card(text)[..], [value] if value.starts_with("4111")), "{text}");
    }
    assert_eq!(
        card("id,card\n10,4111111111111111\n100,378282246310005\n"),
        ["4111111111111111", "378282246310005"]
    );
    for text in [
        "0,4111111111111111",
        "00,4111111111111111",
        "3,4111111111111111",
        "3,4111111111111111, 7",
        "3,4111111111111111; 7,5",
        "64,378282246310005",
        "1,234,567,890,123,456",
        "64.4111111111111111",
        "64,4111111111111112",
        "64,41111111111111112",
        "64,4111,1111,1111,1111",
        "64,4111111111111111x",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
    let mut random = Random(9);
    let decimals: String =
        (0..20_000).map(|i| format!("{},{} ", i % 10, random.text("0123456789", 16))).collect();
    assert_eq!(found(&decimals), []);
    let thousands: String =
        (0..20_000).map(|i| format!("{},{:03},{:03} ", i % 999, i % 1000, i * 7 % 1000)).collect();
    assert_eq!(found(&thousands), []);
}

#[test]
fn media_in_base64() {
    let mut random = Random(2);
    for size in [30, 100, 1_000, 5_000, 300_000] {
        let image = format!("data:image/png;base64,iVBORw0KGgo{}==", random.text(BASE64, size));
        let url_safe = random.text(&BASE64.replace('+', "-").replace('/', "_"), size);
        assert_eq!(found(&format!("{image}\n{url_safe}")), []);
    }
}

#[test]
fn logs_versions_and_times() {
    let mut random = Random(3);
    let mut text = String::new();
    for i in 0..20_000_u64 {
        let (a, b, c) = (random.next() % 100, random.next() % 1000, random.next());
        writeln!(
            text,
            "2026-01-{:02}T{:02}:{:02}:{:02}.{b:03}Z INFO x-{a}.{}.{} took {a}.{b}ms id={}",
            i % 28 + 1,
            i % 24,
            a % 60,
            b % 60,
            b % 9,
            i % 7,
            c % 1_000_000_000_000
        )
        .unwrap();
        writeln!(
            text,
            "1{:09} 1{:012} 1{:018} {a}.{b}.{} +0{a:02}00 ${a},{b:03}.{:02}",
            c % 1_000_000_000,
            c % 1_000_000_000_000,
            c % 1_000_000_000_000_000_000,
            a % 9,
            a
        )
        .unwrap();
        writeln!(text, "f{:07x} (HEAD -> main) Merge pull request #{b} from a/b-{a}\nindex {}..{} 100644\n@@ -{a},{b} +{b},{a} @@", c % 0xfff_ffff, random.hex(7), random.hex(7)).unwrap();
    }
    assert_eq!(found(&text), []);
}

#[test]
fn numbers_like_cards_without_their_checksum() {
    let mut random = Random(4);
    for _ in 0..50_000 {
        let body = format!("4{}", random.text("0123456789", 14));
        let sum: u32 = body
            .bytes()
            .rev()
            .enumerate()
            .map(|(i, digit)| {
                let digit = u32::from(digit - b'0');
                if i % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
            })
            .sum();
        let wrong = (10 - sum % 10) % 10 + 1 + random.next() as u32 % 8;
        let number = format!("{body}{}", wrong % 10);
        let spaced: Vec<&str> = [0, 4, 8, 12].iter().map(|at| &number[*at..at + 4]).collect();
        for text in [number.clone(), spaced.join(" "), spaced.join("-")] {
            assert_eq!(found(&text), []);
        }
    }
}

#[test]
fn tables_of_numbers() {
    let mut random = Random(5);
    for separator in [" ", "  ", "\t", ", ", ",", "\n", "."] {
        for digits in [1, 2, 3, 4, 5, 6, 7, 8] {
            let numbers: Vec<String> = (0..2_000).map(|_| random.text("0123456789", digits)).collect();
            let text = numbers.join(separator);
            assert_eq!(found(&text), [], "{digits} digits with {separator:?}");
        }
    }
}

#[test]
fn words_in_code() {
    let code = r#"
        let api_key = std::env::var("API_KEY")?; let token = config.auth.token.clone();
        const password = await getPassword(user); password: z.string().min(8), secret: process.env.SECRET,
        assert_eq!(token, expected_token_1); headers["Authorization"] = f"Bearer {token}"
        cvv_match = None; card.number = "{{ card }}"; sk_test = sk - test; task-list ask-user disk-usage
        AKIA_PREFIX = "AKIA"; ghp_ = re.compile("ghp_[A-Za-z0-9]{36}"); "sk-ant-..." "sk-..." xoxb- npm_config_cache
        https://user:pass@example.com postgres://postgres:postgres@localhost/db redis://:${REDIS_PASSWORD}@cache:6379
        "private_key": "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"
        hf_transfer hf_hub_download r8_weights fw_cfg_read_blob_from_the_host secret_santa_generator_for_everyone
    "#;
    assert_eq!(found(code), []);
}

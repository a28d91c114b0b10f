//! An app's own categories and exceptions.

use std::sync::Arc;

use latchkey_guardrails::custom::CustomDefinition;
use latchkey_guardrails::custom::exact::ExactKey;
use latchkey_guardrails::{Category, CustomCategory, Exceptions, Finding, Risk, Scanner, Wanted};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn keywords(words: &[&str]) -> CustomDefinition {
    CustomDefinition { keywords: strings(words), ..Default::default() }
}

fn patterns(patterns: &[&str]) -> CustomDefinition {
    CustomDefinition { patterns: strings(patterns), ..Default::default() }
}

/// What a category alone finds.
fn found<'a>(definition: &CustomDefinition, text: &'a str) -> Vec<&'a str> {
    let mut wanted = Wanted::default();
    assert_eq!(wanted.add_custom(Arc::new(CustomCategory::compile(definition).unwrap()), 1), 0);
    let matches = Scanner::new().find(text, &wanted);
    assert!(matches.iter().all(|m| m.finding == Finding::Custom(0)));
    matches.into_iter().map(|m| &text[m.span]).collect()
}

fn refused(definition: CustomDefinition) -> String {
    CustomCategory::check(&[definition]).unwrap_err().0
}

#[test]
fn keywords_are_whole_words_in_any_case() {
    let definition = keywords(&["orion", "Blue  Falcon", "c++"]);
    assert_eq!(found(&definition, "Orion, ORION; orions orion2 preorion"), ["Orion", "ORION"]);
    assert_eq!(
        found(&definition, "the blue falcon, blue\n falcon, bluefalcon"),
        ["blue falcon", "blue\n falcon"]
    );
    assert_eq!(found(&definition, "in C++17 and c++"), ["C++", "c++"]);
    assert_eq!(
        found(&definition, "оriоn \u{200b}o\u{200b}rion ｏｒｉｏｎ"),
        ["оriоn", "o\u{200b}rion", "ｏｒｉｏｎ"]
    );
}

#[test]
fn keywords_of_other_scripts() {
    let definition = keywords(&["機密", "Вектор", "größe"]);
    assert_eq!(found(&definition, "これは機密情報です"), ["機密"]);
    assert_eq!(found(&definition, "вектор ВЕКТОР Вектор векторы"), ["вектор", "ВЕКТОР", "Вектор"]);
    assert_eq!(found(&definition, "Größe GRÖSSE"), ["Größe", "GRÖSSE"]);
}

#[test]
fn the_longest_keyword_counts() {
    let definition = keywords(&["blue", "blue falcon", "falcon seven"]);
    assert_eq!(found(&definition, "blue, blue falcon"), ["blue", "blue falcon"]);
    assert_eq!(found(&definition, "blue falcon seven"), ["falcon seven"]);
}

#[test]
fn patterns_are_read_on_normalized_text() {
    assert_eq!(
        found(&patterns(&[r"PRJ-\d{4}"]), "PRJ-1234, prj-1234, PRJ-12, ＰＲＪ－１２３４"),
        ["PRJ-1234", "ＰＲＪ－１２３４"]
    );
    assert_eq!(
        found(&patterns(&[r"(?i)\bproject \w+"]), "Project Orion and project\u{a0}X"),
        ["Project Orion", "project\u{a0}X"]
    );
    assert_eq!(found(&patterns(&["café"]), "Café café cafe"), ["café", "cafe"]);
}

#[test]
fn a_match_of_a_pattern_is_bounded() {
    let text = "a".repeat(1000);
    let lengths: Vec<_> = found(&patterns(&["a+"]), &text).into_iter().map(str::len).collect();
    assert_eq!(lengths, [256, 256, 256, 232]);
}

fn list(key: &[u8], values: &[&str]) -> CustomDefinition {
    let of = ExactKey::new(key);
    let exact = values.iter().flat_map(|value| of.hashes(value).unwrap()).collect();
    CustomDefinition { exact, exact_key: key.to_vec(), ..Default::default() }
}

#[test]
fn values_of_a_list_are_whole_words_in_any_case() {
    let definition = list(b"key", &["Customer 1009", "ann lee", "x-17/b", "C:\\tom smith"]);
    assert_eq!(
        found(&definition, "customer 1009 and Ann  Lee, Ann\n Lee, ann leer, X-17/B. x-17/bc Ann    Lee"),
        ["customer 1009", "Ann  Lee", "Ann\n Lee", "X-17/B"]
    );
    assert_eq!(found(&definition, "in C:\\Tom Smith"), ["C:\\Tom Smith"]);
    assert_eq!(found(&definition, r#"{"a":"x\nAnn Lee\n"}"#), ["Ann Lee"]);
    assert_eq!(found(&definition, "Ａｎｎ Lee, Аnn Lее, A\u{200b}nn Lee").len(), 3, "written otherwise");
    let longer = list(b"key", &["blue", "blue falcon", "falcon seven"]);
    assert_eq!(found(&longer, "blue, blue falcon"), ["blue", "blue falcon"]);
}

#[test]
fn values_of_other_scripts() {
    let definition = list(b"key", &["機密情報", "Вектор-1", "größe", "Νίκος"]);
    assert_eq!(found(&definition, "これは機密情報です"), ["機密情報"]);
    assert_eq!(
        found(&definition, "вектор-1 ВЕКТОР-1 Вектор-1 вектор-12"),
        ["вектор-1", "ВЕКТОР-1", "Вектор-1"]
    );
    assert_eq!(found(&definition, "Größe νίκος ΝΊΚΟΣ"), ["Größe", "νίκος", "ΝΊΚΟΣ"]);
}

#[test]
fn values_are_found_by_the_key_of_their_hashes_alone() {
    let definition = list(b"key", &["Customer 1009"]);
    let other = CustomDefinition { exact_key: b"other".to_vec(), ..definition.clone() };
    assert!(found(&other, "customer 1009").is_empty());
    assert!(ExactKey::new(b"key").made(&definition.exact[0]));
    assert!(!ExactKey::new(b"other").made(&definition.exact[0]));
    let printed = format!("{definition:?} {:?}", CustomCategory::compile(&definition));
    assert!(!printed.contains("mac"), "{printed}");
}

#[test]
fn values_that_cannot_be_looked_for_are_refused_without_being_shown() {
    let refused = |value: &str| ExactKey::new(b"key").hashes(value).unwrap_err().0;
    assert_eq!(refused("abc"), "must have 4 to 100 characters");
    assert_eq!(refused(&"x".repeat(101)), "must have 4 to 100 characters");
    assert_eq!(refused("a\u{200b}\u{200b}bc"), "must have at least 4 characters that can be seen");
    assert_eq!(refused("#1234"), "must begin and end with a letter or digit");
    assert_eq!(refused(&["a"; 17].join(" ")), "must have at most 16 words, and has 17");
    assert!(ExactKey::new(b"key").hashes(&["a"; 16].join(" ")).is_ok());
}

#[test]
fn exceptions_are_values_or_whole_matches_of_patterns() {
    let exceptions =
        Exceptions::compile(&strings(&["Ann@Example.com"]), &strings(&[r".*@test\.example\.com"])).unwrap();
    let wanted = Wanted::default().with(Category::Pii, Risk::Low, 1).except(exceptions);
    let text = "ann@example.com bob@example.com x@test.example.com x@test.example.com.au";
    let matches = Scanner::new().find(text, &wanted);
    let found: Vec<_> = matches.into_iter().map(|m| &text[m.span]).collect();
    assert_eq!(found, ["bob@example.com", "x@test.example.com.au"]);
}

#[test]
fn what_counts_more_stays() {
    let mut wanted = Wanted::default().with(Category::Pii, Risk::Low, 1);
    wanted.add_custom(Arc::new(CustomCategory::compile(&keywords(&["ann"])).unwrap()), 2);
    let text = "ann@example.com";
    let matches = Scanner::new().find(text, &wanted);
    assert_eq!(
        matches.into_iter().map(|m| (&text[m.span], m.finding)).collect::<Vec<_>>(),
        [("ann", Finding::Custom(0))]
    );
}

#[test]
fn nothing_wanted_finds_nothing() {
    assert!(Scanner::new().find("ann@example.com", &Wanted::default()).is_empty());
    let mut off = Wanted::default();
    off.add_custom(Arc::new(CustomCategory::compile(&keywords(&["ann"])).unwrap()), 0);
    assert!(off.is_empty());
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    assert_eq!(
        CustomCategory::check(&[
            keywords(&["orion"]),
            patterns(&[r"PRJ-\d{4}", r"\w+@corp\.com", r"\b[A-Z]{2}\d{6}\b"])
        ]),
        Ok(())
    );
    assert!(refused(patterns(&["("])).contains("`(` cannot be used: "), "{}", refused(patterns(&["("])));
    assert!(refused(patterns(&["x*"])).contains("matches nothing at all"));
    assert!(refused(patterns(&[r"\w{1000}{1000}"])).contains("cannot be used"));
    assert!(refused(patterns(&[r"\p{Greek}+"])).contains("cannot be used"));
    assert!(refused(keywords(&["a"])).contains("`a` must have 2 to 256 bytes"));
}

#[test]
fn what_is_slow_is_refused() {
    let slow = refused(patterns(&["a[^b]*b|a"]));
    assert!(slow.contains("steps for each byte of a text such as"), "{slow}");
    let many = patterns(&[r"\w+x"; 40]);
    assert!(refused(many).contains("take"));
}

#[test]
fn exceptions_that_are_slow_are_refused() {
    let ordinary =
        [r".*@test\.example\.com", r"TEST-\d{2,4}", "(?i)sample.*", r"4111[ -]?1111[ -]?1111[ -]?1111"];
    assert_eq!(Exceptions::check(&strings(&ordinary)), Ok(()));
    let many: Vec<_> = (0..50).map(|i| format!(r"[a-z]+@host{i}\.example\.com")).collect();
    let slow = Exceptions::check(&many).unwrap_err().0;
    assert!(slow.contains("steps for each byte of a match such as"), "{slow}");
    assert!(Exceptions::check(&strings(&["("])).is_err());
}

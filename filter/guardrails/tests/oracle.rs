//! Check digits, compared with python-stdnum 2.2.
//!
//! `data/checksums.txt` has a detector, `valid` or `invalid`, and a number on each line. The numbers are random
//! digits in each country's form (letters where it has some), and the word is what the module for it in
//! python-stdnum says: `stdnum.iban`, `stdnum.es.dni` and so on; for cards `stdnum.luhn`. Twelve of each were
//! kept. Nobody's number is among them but by chance.

use latchkey_guardrails::{Category, DetectorId, Finding, Risk, Scanner, Wanted};

/// The word that makes a number count.
fn word(detector: &str) -> &'static str {
    match detector {
        "de_steuer_id" => "Steuer-ID",
        "nl_bsn" => "BSN",
        "pl_pesel" => "PESEL",
        "be_national_number" => "rijksregisternummer",
        "pt_nif" => "NIF",
        "br_cpf" => "CPF",
        "in_aadhaar" => "Aadhaar",
        "ca_sin" => "social insurance number",
        "au_tfn" => "tax file number",
        "us_bank_routing" => "routing number",
        "uk_nhs_number" => "NHS number",
        "us_ssn" => "SSN",
        "fr_nir" => "NIR",
        _ => "number",
    }
}

#[test]
fn check_digits_are_those_of_python_stdnum() {
    let (scanner, wanted) = (Scanner::new(), Wanted::all());
    let mut wrong = Vec::new();
    for line in include_str!("data/checksums.txt").lines() {
        let [detector, verdict, number] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        // Areas from 900 are no SSNs for python-stdnum. They count here: people take them for SSNs.
        if detector == "us_ssn" && number.starts_with('9') {
            continue;
        }
        let id = DetectorId::parse(detector).unwrap();
        let text = format!("{}: {number}.", word(detector));
        let matches = scanner.find(&text, &wanted);
        let found =
            matches.iter().any(|m| m.finding == Finding::Detector(id) && &text[m.span.clone()] == number);
        if found != (verdict == "valid") {
            wrong.push(format!("{line}: {matches:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_changed_digit_is_noticed() {
    let (scanner, wanted) = (Scanner::new(), Wanted::default().with(Category::Pci, Risk::Low, 1));
    let cards =
        include_str!("data/checksums.txt").lines().filter_map(|line| line.strip_prefix("credit_card valid "));
    for card in cards {
        for i in 4..card.len() {
            for digit in b'0'..=b'9' {
                let mut bytes = card.as_bytes().to_vec();
                bytes[i] = digit;
                let changed = String::from_utf8(bytes).unwrap();
                let found = !scanner.find(&changed, &wanted).is_empty();
                assert_eq!(found, changed == card, "{changed}");
            }
        }
    }
}

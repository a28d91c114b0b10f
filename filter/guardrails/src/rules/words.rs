//! The words that rules begin with or look for before a value, and what each calls.
//!
//! Accents are off, as in normalized text. A space stands for whatever separates words, or nothing.

use crate::dictionary::{Entry, Keyword, Trigger};
use crate::rules::context::Context as C;
use crate::rules::phrases::PHRASES;
use crate::rules::{assignment, beside, birth_date, jwt, latchkey, wallet};
use crate::sink::Sink;

/// Words that make a number after them count.
const CONTEXTS: &[(C, &[&str])] = &[
    (
        C::Ssn,
        &[
            "ssn",
            "ssns",
            "social security",
            "social security number",
            "social security no",
            "soc sec",
            "ss number",
        ],
    ),
    (C::Itin, &["itin", "taxpayer identification", "taxpayer id", "individual taxpayer"]),
    (
        C::Phone,
        &[
            "phone",
            "phone number",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "cellphone",
            "fax",
            "whatsapp",
            "telefon",
            "telefono",
            "movil",
            "telephone portable",
            "contact number",
        ],
    ),
    (
        C::BirthDate,
        &[
            "date of birth",
            "dob",
            "d o b",
            "birth date",
            "birthdate",
            "birthday",
            "born",
            "born on",
            "geboren",
            "geburtsdatum",
            "date de naissance",
            "ne le",
            "nee le",
            "fecha de nacimiento",
            "nacido",
            "data di nascita",
            "nato il",
            "data de nascimento",
            "geboortedatum",
        ],
    ),
    (
        C::Cvv,
        &["cvv", "cvv2", "cvc", "cvc2", "cid", "card security code", "card verification", "security code"],
    ),
    (C::Bsn, &["bsn", "burgerservicenummer", "sofinummer", "sofi nummer", "citizen service number"]),
    (
        C::SteuerId,
        &[
            "steuer id",
            "steueridentifikationsnummer",
            "steuerliche identifikationsnummer",
            "steuernummer",
            "idnr",
            "identifikationsnummer",
            "tax id",
            "german tax",
        ],
    ),
    (C::Pesel, &["pesel"]),
    (C::Nif, &["nif", "contribuinte", "numero de contribuinte", "numero fiscal"]),
    (C::Sin, &["sin", "social insurance", "social insurance number", "numero d'assurance sociale", "nas"]),
    (C::Tfn, &["tfn", "tax file number", "tax file"]),
    (C::Aadhaar, &["aadhaar", "aadhar", "adhaar", "uidai", "uid"]),
    (C::Cpf, &["cpf", "cadastro de pessoas", "cadastro de pessoa"]),
    (
        C::Personnummer,
        &["personnummer", "personal number", "personal identity number", "samordningsnummer", "pnr"],
    ),
    (
        C::BelgianNumber,
        &[
            "rijksregisternummer",
            "numero national",
            "numero de registre national",
            "national register",
            "national number",
            "insz",
            "niss",
        ],
    ),
    (C::Nir, &["nir", "securite sociale", "numero de securite sociale", "insee"]),
    (C::Nhs, &["nhs", "nhs number", "nhs no"]),
    (C::Npi, &["npi", "national provider", "provider identifier"]),
    (C::Routing, &["routing", "routing number", "aba", "rtn", "transit number", "bank routing"]),
    (
        C::AwsSecret,
        &[
            "aws secret access key",
            "aws secret key",
            "aws secret",
            "secret access key",
            "secretkey",
            "secret key",
            "aws",
        ],
    ),
    (
        C::HexKey,
        &[
            "datadog",
            "dd api key",
            "dd app key",
            "algolia",
            "segment",
            "twilio auth token",
            "auth token",
            "sonar",
            "newrelic",
            "bugsnag",
            "mapbox",
            "circleci",
            "etherscan",
            "cloudflare",
            "snyk",
            "jenkins",
        ],
    ),
    (C::UuidKey, &["heroku", "heroku api key", "snyk token", "snyk", "postmark", "plaid", "scaleway"]),
];

type Rule = fn(&mut Sink<'_>, Keyword);

/// Words that a value follows.
const BEFORE: &[(Rule, &[&str])] = &[
    (
        beside::passport,
        &[
            "passport",
            "passport number",
            "passport no",
            "passeport",
            "reisepass",
            "reisepassnummer",
            "pasaporte",
            "passaporto",
            "paspoort",
        ],
    ),
    (
        beside::drivers_license,
        &[
            "driver license",
            "drivers license",
            "driver's license",
            "driving licence",
            "driving license",
            "driver licence",
            "license number",
            "licence number",
            "dl number",
            "fuhrerschein",
            "fuhrerscheinnummer",
            "permis de conduire",
        ],
    ),
    (
        beside::medical_record,
        &[
            "mrn",
            "medical record",
            "medical record number",
            "patient id",
            "patient number",
            "patient no",
            "chart number",
            "hospital number",
        ],
    ),
    (
        beside::health_insurance,
        &[
            "member id",
            "member number",
            "subscriber id",
            "policy number",
            "health insurance",
            "insurance id",
            "health plan",
            "beneficiary id",
            "krankenversichertennummer",
            "versichertennummer",
            "group number",
            "medicaid id",
            "health card",
        ],
    ),
    (
        beside::account,
        &[
            "account number",
            "account no",
            "acct",
            "acct number",
            "acct no",
            "bank account",
            "kontonummer",
            "numero de compte",
            "numero de cuenta",
            "checking account",
            "savings account",
        ],
    ),
    (beside::bic, &["swift", "bic", "swift code", "bic code", "swift bic", "bic swift"]),
    (
        beside::diagnosis,
        &["icd", "icd 10", "icd10", "icd 10 cm", "diagnosis", "diagnosis code", "diagnose", "dx"],
    ),
    (beside::dea, &["dea", "dea number", "dea no", "dea registration"]),
    (
        assignment::password,
        &["password", "passwd", "pwd", "passphrase", "passwort", "contrasena", "mot de passe", "pass"],
    ),
    (
        assignment::key,
        &[
            "api key",
            "apikey",
            "secret",
            "client secret",
            "secret key",
            "access key",
            "access token",
            "auth token",
            "api token",
            "token",
            "private key",
            "encryption key",
            "signing key",
            "api secret",
            "account key",
            "webhook secret",
            "session key",
            "refresh token",
        ],
    ),
    (assignment::bearer, &["bearer"]),
];

/// What begins with exactly this, whatever follows.
const PREFIXES: &[(Rule, &str)] =
    &[(jwt::token, "eyJ"), (wallet::bech32, "bc1"), (wallet::bech32, "BC1"), (latchkey::key, "sk-quilr-")];

/// Every word but the prefixes of secrets.
pub(crate) fn entries() -> impl Iterator<Item = Entry> {
    let contexts = CONTEXTS.iter().flat_map(|(context, words)| each(words, Trigger::Context(*context)));
    let before = BEFORE.iter().flat_map(|(rule, words)| each(words, Trigger::Before(*rule)));
    let prefixes = PREFIXES.iter().map(|(rule, word)| Entry { word, trigger: Trigger::Prefix(*rule) });
    let months = each(&birth_date::MONTHS, Trigger::Word(birth_date::month_first));
    let phrases = PHRASES.iter().flat_map(|phrase| each(phrase.first_words(), Trigger::Phrase(phrase)));
    contexts.chain(before).chain(prefixes).chain(months).chain(phrases)
}

fn each<'a>(words: &'a [&'static str], trigger: Trigger) -> impl Iterator<Item = Entry> + 'a {
    words.iter().map(move |word| Entry { word, trigger })
}

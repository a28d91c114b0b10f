//! The one table of detectors. Documentation and the API list what it lists.

use crate::category::{Category, Risk, Strength};

/// Looks for one kind of value: a sub-category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detector {
    pub id: DetectorId,
    /// The sub-category as the API writes it, unique over all categories.
    pub name: &'static str,
    pub category: Category,
    pub risk: Risk,
    pub strength: Strength,
    /// The word for a value that was taken out: `EMAIL` in `[EMAIL_7f3a]`.
    pub placeholder: &'static str,
    /// What is found, and what decides, in one sentence.
    pub about: &'static str,
}

macro_rules! detectors {
    ($($id:ident $name:literal $category:ident $risk:ident $strength:ident $placeholder:literal $about:literal;)*) => {
        /// Names a detector. The order is that of [`DETECTORS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DetectorId { $($id,)* }

        impl DetectorId {
            /// The detector's row of [`DETECTORS`].
            #[must_use]
            pub fn detector(self) -> &'static Detector {
                match self { $(Self::$id => const { &Detector {
                    id: DetectorId::$id,
                    name: $name,
                    category: Category::$category,
                    risk: Risk::$risk,
                    strength: Strength::$strength,
                    placeholder: $placeholder,
                    about: $about,
                } },)* }
            }
        }

        /// Every detector that is built in.
        pub const DETECTORS: &[Detector] = &[$(Detector {
            id: DetectorId::$id,
            name: $name,
            category: Category::$category,
            risk: Risk::$risk,
            strength: Strength::$strength,
            placeholder: $placeholder,
            about: $about,
        },)*];
    };
}

detectors! {
    Email "email" Pii Low Strong "EMAIL" "An email address. The @ may be percent-encoded.";
    Phone "phone" Pii Low PatternOnly "PHONE" "A phone number with a country code, in North American groups, beginning with a 0 in the groups of other countries, or beside a word for it.";
    UsSsn "us_ssn" Pii High Strong "SSN" "A US Social Security number: with dashes, or nine digits beside a word for it. Areas 000 and 666 do not count.";
    UsItin "us_itin" Pii High Strong "ITIN" "A US taxpayer number: area 9xx and a group that the IRS assigns, with dashes or beside a word for it.";
    IpAddress "ip_address" Pii Low PatternOnly "IP" "An IPv4 or IPv6 address. Loopback, unspecified, and version-like addresses do not count.";
    BirthDate "date_of_birth" Pii High PatternOnly "DOB" "A date that a word for a birth precedes.";
    Passport "passport" Pii High PatternOnly "PASSPORT" "Six to nine letters and digits right after a word for a passport.";
    DriversLicense "drivers_license" Pii High PatternOnly "LICENSE" "Letters and digits right after a word for a driver's license.";
    UkNino "uk_nino" Pii High Strong "NINO" "A UK National Insurance number: allowed letters, six digits, and A to D.";
    SpainDni "es_dni" Pii High Strong "DNI" "A Spanish DNI: eight digits and the letter that they lead to.";
    SpainNie "es_nie" Pii High Strong "NIE" "A Spanish NIE: X, Y or Z, seven digits and the letter that they lead to.";
    ItalyCodiceFiscale "it_codice_fiscale" Pii High Strong "CODICE_FISCALE" "An Italian codice fiscale with its check letter.";
    FranceNir "fr_nir" Pii High Strong "NIR" "A French social security number with its key modulo 97. Those of Corsica (2A, 2B) are not found.";
    GermanySteuerId "de_steuer_id" Pii High Strong "STEUER_ID" "A German tax ID (MOD 11,10) beside a word for it.";
    NetherlandsBsn "nl_bsn" Pii High Strong "BSN" "A Dutch BSN (eleven test) beside a word for it.";
    PolandPesel "pl_pesel" Pii High Strong "PESEL" "A Polish PESEL with its date and check digit, beside a word for it.";
    SwedenPersonnummer "se_personnummer" Pii High Strong "PERSONNUMMER" "A Swedish personnummer with its date and Luhn checksum, with its dash or beside a word for it.";
    BelgiumNationalNumber "be_national_number" Pii High Strong "NATIONAL_NUMBER" "A Belgian national number (modulo 97), in its separators or beside a word for it.";
    PortugalNif "pt_nif" Pii High Strong "NIF" "A Portuguese NIF (modulo 11) beside a word for it.";
    BrazilCpf "br_cpf" Pii High Strong "CPF" "A Brazilian CPF (two check digits), in its separators or beside a word for it.";
    IndiaAadhaar "in_aadhaar" Pii High Strong "AADHAAR" "An Indian Aadhaar number (Verhoeff), in fours or beside a word for it.";
    IndiaPan "in_pan" Pii High PatternOnly "PAN" "An Indian PAN: five letters of which the fourth names the kind of holder, four digits and a letter.";
    SingaporeNric "sg_nric" Pii High Strong "NRIC" "A Singaporean NRIC or FIN with its check letter.";
    CanadaSin "ca_sin" Pii High Strong "SIN" "A Canadian SIN (Luhn), with dashes or beside a word for it.";
    AustraliaTfn "au_tfn" Pii High Strong "TFN" "An Australian tax file number (modulo 11) beside a word for it.";

    MedicalRecordNumber "medical_record_number" Phi High PatternOnly "MRN" "Letters and digits right after a word for a medical record number.";
    UsNpi "us_npi" Phi Low Strong "NPI" "A US provider identifier (Luhn with 80840) beside a word for it.";
    UsDeaNumber "us_dea_number" Phi High Strong "DEA" "A US DEA number with its checksum, right after a word for it.";
    UsMedicareId "us_medicare_id" Phi High PatternOnly "MBI" "A US Medicare beneficiary identifier: eleven places with a class each.";
    UkNhsNumber "uk_nhs_number" Phi High Strong "NHS" "A UK NHS number (modulo 11) beside a word for it.";
    HealthInsuranceId "health_insurance_id" Phi High PatternOnly "MEMBER_ID" "Letters and digits right after a word for a health insurance number.";
    DiagnosisCode "icd10_code" Phi Low PatternOnly "DIAGNOSIS" "An ICD-10 code right after a word for a diagnosis.";

    Iban "iban" Pfi High Strong "IBAN" "An IBAN: the country's length, and modulo 97.";
    UsBankRouting "us_bank_routing" Pfi Low Strong "ROUTING" "A US bank's routing number (weights 3, 7, 1) beside a word for it.";
    BankAccount "bank_account" Pfi High PatternOnly "ACCOUNT" "Six to seventeen digits right after a word for an account number.";
    SwiftBic "swift_bic" Pfi Low PatternOnly "BIC" "A BIC right after a word for it.";
    CryptoWallet "crypto_wallet" Pfi Low Strong "WALLET" "A Bitcoin address: Base58Check or Bech32.";
    EthereumAddress "ethereum_address" Pfi Low PatternOnly "WALLET" "0x and forty hexadecimal digits.";

    CreditCard "credit_card" Pci High Strong "CARD" "A payment card number: range of the issuer, length and Luhn checksum.";
    CardCvv "card_cvv" Pci High PatternOnly "CVV" "Three or four digits right after a word for a card's security code.";
    CardTrack "card_track" Pci High Strong "TRACK" "The data of a magnetic stripe.";

    OpenAiKey "openai_api_key" Secrets High Strong "SECRET" "An OpenAI API key.";
    AnthropicKey "anthropic_api_key" Secrets High Strong "SECRET" "An Anthropic API key.";
    LatchkeyKey "latchkey_api_key" Secrets High Strong "SECRET" "A key of this gateway, an app's or a user's.";
    AwsAccessKey "aws_access_key" Secrets High Strong "SECRET" "The ID of an AWS access key.";
    AwsSecretKey "aws_secret_key" Secrets High PatternOnly "SECRET" "Forty characters beside a word for an AWS secret key.";
    GitHubToken "github_token" Secrets High Strong "SECRET" "A GitHub token of any kind.";
    GitLabToken "gitlab_token" Secrets High Strong "SECRET" "A GitLab token of any kind.";
    SlackToken "slack_token" Secrets High Strong "SECRET" "A Slack token.";
    Webhook "webhook_url" Secrets High Strong "SECRET" "The address of a Slack, Discord or Teams webhook.";
    StripeKey "stripe_key" Secrets High Strong "SECRET" "A Stripe secret or restricted key, or a webhook's secret.";
    GoogleKey "google_api_key" Secrets High Strong "SECRET" "A Google API key, OAuth secret or token.";
    AzureKey "azure_key" Secrets High Strong "SECRET" "The key in an Azure connection string, a client secret or a DevOps token.";
    NpmToken "npm_token" Secrets High Strong "SECRET" "An npm token.";
    PyPiToken "pypi_token" Secrets High Strong "SECRET" "A PyPI token.";
    RegistryToken "registry_token" Secrets High Strong "SECRET" "A token of Docker Hub, RubyGems or crates.io.";
    MailKey "mail_api_key" Secrets High Strong "SECRET" "A key of SendGrid, Mailgun, Mailchimp or Brevo.";
    TwilioKey "twilio_key" Secrets High PatternOnly "SECRET" "A Twilio API key.";
    HuggingFaceToken "huggingface_token" Secrets High Strong "SECRET" "A Hugging Face token.";
    ModelProviderKey "model_provider_key" Secrets High Strong "SECRET" "A key of Groq, xAI, Perplexity, Replicate, OpenRouter, Fireworks or Cerebras.";
    CloudToken "cloud_token" Secrets High Strong "SECRET" "A token of DigitalOcean, Databricks, Heroku, Fly.io, Cloudflare, Supabase, PlanetScale, Alibaba or Tencent.";
    CommerceToken "commerce_token" Secrets High Strong "SECRET" "A token of Shopify, Square or Braintree.";
    TelegramBotToken "telegram_bot_token" Secrets High Strong "SECRET" "A token of a Telegram bot.";
    InfrastructureToken "infrastructure_token" Secrets High Strong "SECRET" "A token of Vault, Terraform, Pulumi, Doppler, 1Password or Tailscale.";
    MonitoringKey "monitoring_key" Secrets High Strong "SECRET" "A key of Grafana, New Relic, Sentry, Dynatrace or PostHog.";
    WorkspaceToken "workspace_token" Secrets High Strong "SECRET" "A token of Linear, Notion, Postman, Figma, Airtable, Atlassian, Asana or Typeform.";
    VendorKey "vendor_key" Secrets High PatternOnly "SECRET" "A hexadecimal key or UUID beside the name of Datadog, Heroku, Algolia and others that have no form of their own.";
    AgeKey "age_secret_key" Secrets High Strong "SECRET" "A secret key of age.";
    PrivateKey "private_key" Secrets High Strong "SECRET" "A private key in PEM.";
    UrlPassword "url_password" Secrets High PatternOnly "SECRET" "The password in a URL.";
    SampleSecret "sample_secret" Secrets Low Strong "SECRET" "What has a secret's form and is a sample of one, as documentation writes it: AKIAIOSFODNN7EXAMPLE.";
    Jwt "jwt" Secrets Low Strong "SECRET" "A JSON Web Token whose header decodes.";
    AssignedPassword "assigned_password" Secrets Low PatternOnly "SECRET" "A value assigned to a name such as password: eight characters of three kinds.";
    AssignedKey "assigned_key" Secrets Low PatternOnly "SECRET" "A value assigned to a name such as api_key, or a bearer token: sixteen characters, with letters and digits.";

    InstructionOverride "instruction_override" PromptInjection Low Heuristic "INJECTION" "A demand to ignore earlier instructions, in five languages.";
    PromptExtraction "prompt_extraction" PromptInjection Low Heuristic "INJECTION" "A demand to show the system prompt.";
    ChatMarkup "chat_markup" PromptInjection Low Heuristic "INJECTION" "A marker that separates roles in a model's input.";
    HiddenFromUser "hidden_from_user" PromptInjection Low Heuristic "INJECTION" "A demand not to tell the user.";
    Persona "unrestricted_persona" Jailbreak Low Heuristic "JAILBREAK" "A demand to act as a model without restrictions.";
    SafetyBypass "safety_bypass" Jailbreak Low Heuristic "JAILBREAK" "A demand to leave safety or ethics aside.";
    CredentialRequest "credential_request" SocialEngineering Low Heuristic "PRESSURE" "A request to send a password or code.";
    Impersonation "impersonation" SocialEngineering Low Heuristic "PRESSURE" "A claim to be a chief or support, or pressure about an account.";
}

impl DetectorId {
    /// Finds a detector by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        DETECTORS.iter().find(|detector| detector.name == name).map(|detector| detector.id)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self as u8)
    }
}

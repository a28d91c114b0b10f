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
    Email "email" Pii Low Strong "EMAIL" "An e-mail address; the @ may be percent-encoded.";
    UsSsn "us_ssn" Pii High Strong "SSN" "A US Social Security number with dashes, or nine digits beside a word for it. Areas 000 and 666 are none.";
    CreditCard "credit_card" Pci High Strong "CARD" "A payment card number: range of the issuer, length and Luhn checksum.";
    OpenAiKey "openai_api_key" Secrets High Strong "SECRET" "An OpenAI API key.";
    AnthropicKey "anthropic_api_key" Secrets High Strong "SECRET" "An Anthropic API key.";
    AwsAccessKey "aws_access_key" Secrets High Strong "SECRET" "The ID of an AWS access key.";
    GitHubToken "github_token" Secrets High Strong "SECRET" "A GitHub token of any kind.";
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

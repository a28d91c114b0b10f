//! What kinds of content are looked for.

/// What an app's guardrails have a setting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Personal data: what names or reaches a person.
    Pii,
    /// Health data.
    Phi,
    /// Financial data.
    Pfi,
    /// Payment card data.
    Pci,
    /// Credentials.
    Secrets,
    /// Text that tries to replace a model's instructions.
    PromptInjection,
    /// Text that tries to lift a model's restrictions.
    Jailbreak,
    /// Text that presses a person for credentials or money.
    SocialEngineering,
    /// One of the app's own categories, by its position in [`crate::Wanted`].
    Custom(u16),
    /// What an external detector finds: nothing in this crate does.
    External,
}

/// How much harm it does if a match passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Risk {
    Low,
    High,
}

/// How far a match can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strength {
    /// Phrases. Benign text matches as well, and attacks are missed.
    Heuristic,
    /// A form that other values have too, or a word beside it. No checksum decides.
    PatternOnly,
    /// A checksum, or a form that nothing else has.
    Strong,
}

impl Category {
    /// The categories that are built in.
    pub const BUILT_IN: [Self; 8] = [
        Self::Pii,
        Self::Phi,
        Self::Pfi,
        Self::Pci,
        Self::Secrets,
        Self::PromptInjection,
        Self::Jailbreak,
        Self::SocialEngineering,
    ];

    /// As the API writes it. All custom categories have one name here: the app knows theirs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pii => "pii",
            Self::Phi => "phi",
            Self::Pfi => "pfi",
            Self::Pci => "pci",
            Self::Secrets => "secrets",
            Self::PromptInjection => "prompt_injection",
            Self::Jailbreak => "jailbreak",
            Self::SocialEngineering => "social_engineering",
            Self::Custom(_) => "custom",
            Self::External => "external",
        }
    }

    /// Reads the name of a built-in category.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::BUILT_IN.into_iter().find(|category| category.name() == name)
    }
}

impl Risk {
    /// As the API writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

impl Strength {
    /// As the API writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Heuristic => "heuristic",
            Self::PatternOnly => "pattern_only",
            Self::Strong => "strong",
        }
    }
}

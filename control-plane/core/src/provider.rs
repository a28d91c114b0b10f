//! Providers of models.

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

/// Whose protocol a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI.
    Openai,
    /// Azure OpenAI, with its `/openai/v1` API.
    AzureOpenai,
    /// Anthropic.
    Anthropic,
    /// Anything that answers as OpenAI does.
    OpenaiCompatible,
}

/// Under which name a limit of a chat's output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// How a provider or a model wants to be asked, where it differs from what its kind suggests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dialect {
    /// Under which name it takes a limit of a chat's output.
    pub output_limit: Option<OutputLimit>,
    /// Whether it takes `stream_options`.
    pub stream_options: Option<bool>,
}

/// What to change of a dialect; none leaves it, the inner none is for what the kind suggests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialectEdit {
    /// Under which name it takes a limit of a chat's output.
    pub output_limit: Option<Option<OutputLimit>>,
    /// Whether it takes `stream_options`.
    pub stream_options: Option<Option<bool>>,
}

impl OutputLimit {
    /// The member's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// A word in the database that is no name of a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an output limit")]
pub struct NotALimit(String);

impl std::str::FromStr for OutputLimit {
    type Err = NotALimit;

    fn from_str(word: &str) -> Result<Self, NotALimit> {
        let known = [Self::MaxTokens, Self::MaxCompletionTokens];
        known.into_iter().find(|limit| limit.as_str() == word).ok_or_else(|| NotALimit(word.to_owned()))
    }
}

impl Dialect {
    /// A model's dialect, where `self` is its own and `provider` its provider's.
    #[must_use]
    pub fn of_model(self, provider: Self) -> Self {
        Self {
            output_limit: self.output_limit.or(provider.output_limit),
            stream_options: self.stream_options.or(provider.stream_options),
        }
    }
}

impl DialectEdit {
    /// The dialect after the edit.
    #[must_use]
    pub fn of(self, before: Dialect) -> Dialect {
        Dialect {
            output_limit: self.output_limit.unwrap_or(before.output_limit),
            stream_options: self.stream_options.unwrap_or(before.stream_options),
        }
    }
}

/// A provider's base URL, taken apart: `https://api.openai.com/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Whether to speak TLS.
    pub tls: bool,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// What goes into the `Host` header.
    pub authority: String,
    /// The path with a leading and without a trailing slash, or empty.
    pub path_prefix: String,
    /// The path as it was given: `/` at least.
    pub path: String,
}

/// Why a base URL is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not an absolute http(s) URL.
    #[error("must be an http:// or https:// URL such as https://api.openai.com/v1")]
    NotHttp,
    /// It carries something that belongs elsewhere.
    #[error("must not have a user, password, query, or fragment: put a credential into `credential`")]
    Extra,
}

impl ProviderKind {
    /// The kind's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::AzureOpenai => "azure_openai",
            Self::Anthropic => "anthropic",
            Self::OpenaiCompatible => "openai_compatible",
        }
    }

    /// The request header that carries the credential.
    #[must_use]
    pub fn credential_header(self) -> &'static str {
        match self {
            Self::Openai | Self::OpenaiCompatible => "authorization",
            Self::AzureOpenai => "api-key",
            Self::Anthropic => "x-api-key",
        }
    }

    /// What that header holds for `credential`.
    #[must_use]
    pub fn credential_value(self, credential: &str) -> String {
        match self {
            Self::Openai | Self::OpenaiCompatible => format!("Bearer {credential}"),
            Self::AzureOpenai | Self::Anthropic => credential.to_owned(),
        }
    }
}

/// A word in the database that is not a provider kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a provider kind")]
pub struct NotAKind(String);

impl std::str::FromStr for ProviderKind {
    type Err = NotAKind;

    fn from_str(word: &str) -> Result<Self, NotAKind> {
        [Self::Openai, Self::AzureOpenai, Self::Anthropic, Self::OpenaiCompatible]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| NotAKind(word.to_owned()))
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let url = Url::parse(text).map_err(|_| BadUrl::NotHttp)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadUrl::NotHttp),
        };
        let extra = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
        if extra || url.fragment().is_some() {
            return Err(BadUrl::Extra);
        }
        let host = match url.host().ok_or(BadUrl::NotHttp)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok(Self {
            tls,
            host,
            port: url.port_or_known_default().ok_or(BadUrl::NotHttp)?,
            authority: url.authority().to_owned(),
            path_prefix: url.path().trim_end_matches('/').to_owned(),
            path: url.path().to_owned(),
        })
    }
}

/// For how many seconds an answer may be silent: Envoy has a route for each of these. The third is its own limit.
pub const IDLE_TIMEOUTS: [u32; 6] = [60, 300, 600, 1200, 1800, 3600];

/// Checks for how long a provider may be silent.
///
/// # Errors
/// Says what it may be.
pub fn check_idle_timeout(seconds: u32) -> Result<(), String> {
    if IDLE_TIMEOUTS.contains(&seconds) {
        return Ok(());
    }
    let all = IDLE_TIMEOUTS.map(|seconds| seconds.to_string()).join(", ");
    Err(format!("must be one of {all}"))
}

/// Whether `credential` can stand in a header: visible ASCII, no spaces, at most 4 kB.
#[must_use]
pub fn is_credential(credential: &str) -> bool {
    (1..=4096).contains(&credential.len()) && credential.bytes().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_timeout_is_one_that_envoy_has_a_route_for() {
        assert_eq!(check_idle_timeout(1800), Ok(()));
        assert_eq!(check_idle_timeout(1801), Err("must be one of 60, 300, 600, 1200, 1800, 3600".into()));
        assert!(check_idle_timeout(0).is_err());
    }

    #[test]
    fn a_base_url_is_taken_apart() {
        let url: BaseUrl = "https://api.openai.com/v1/".parse().unwrap();
        assert!(url.tls);
        assert_eq!((url.host.as_str(), url.port), ("api.openai.com", 443));
        assert_eq!((url.authority.as_str(), url.path_prefix.as_str()), ("api.openai.com", "/v1"));
        assert_eq!(url.path, "/v1/");
        let url: BaseUrl = "http://[::1]:9000".parse().unwrap();
        assert!(!url.tls);
        assert_eq!((url.host.as_str(), url.port), ("::1", 9000));
        assert_eq!((url.authority.as_str(), url.path_prefix.as_str()), ("[::1]:9000", ""));
    }

    #[test]
    fn a_credential_in_a_url_is_refused() {
        for bad in ["https://user:pass@x.com", "https://x.com/?key=1", "https://x.com/#a"] {
            assert_eq!(bad.parse::<BaseUrl>(), Err(BadUrl::Extra), "{bad}");
        }
        for bad in ["", "x.com", "ftp://x.com", "https://"] {
            assert_eq!(bad.parse::<BaseUrl>(), Err(BadUrl::NotHttp), "{bad}");
        }
    }
}

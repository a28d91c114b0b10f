//! Where a browser goes next: a path of ours, never another site.

use url::Url;

/// A path with its query, as in `/apps?page=2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(String);

/// Why a text is no such path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a path on this site, such as /apps")]
pub struct NotLocal;

impl LocalPath {
    /// Of at most so many bytes.
    const LONGEST: usize = 2000;

    /// The first page.
    #[must_use]
    pub fn home() -> Self {
        Self("/".to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for LocalPath {
    type Error = NotLocal;

    /// Browsers read `//host`, `/\host` and a path with a tab in it as another site.
    fn try_from(text: &str) -> Result<Self, NotLocal> {
        let plain = text.len() <= Self::LONGEST
            && text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
            && text.starts_with('/')
            && !text.starts_with("//");
        let here = |base: &Url| base.join(text).is_ok_and(|joined| joined.origin() == base.origin());
        let base = Url::parse("https://latchkey.invalid/").map_err(|_| NotLocal)?;
        if plain && here(&base) { Ok(Self(text.to_owned())) } else { Err(NotLocal) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_ours_pass() {
        for good in ["/", "/apps", "/apps/1?tab=logs&next=https://x#key", "/a//b", "/@x"] {
            assert_eq!(LocalPath::try_from(good).map(|path| path.0), Ok(good.to_owned()));
        }
    }

    #[test]
    fn other_sites_do_not() {
        for bad in [
            "",
            "apps",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\n//evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/ü",
            "/a\r\nset-cookie: x=y",
            &format!("/{}", "x".repeat(2000)),
        ] {
            assert_eq!(LocalPath::try_from(bad), Err(NotLocal), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_leads_to_no_other_site(text in r"[/\\.@:?#a-z%\t ]{0,12}") {
            if let Ok(path) = LocalPath::try_from(text.as_str()) {
                let base = Url::parse("https://latchkey.example:8443/auth/oidc/callback").unwrap();
                prop_assert_eq!(base.join(path.as_str()).unwrap().origin(), base.origin());
            }
        }
    }
}

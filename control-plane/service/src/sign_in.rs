//! How people come in: what sessions, passwords and the OpenID provider need, and the cookies.

pub mod forwarders;
pub mod guesses;
pub mod oidc;
pub mod passwords;

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use latchkey_core::client::TrustedProxies;
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use url::Url;

use forwarders::Forwarders;
use latchkey_store::sessions::LiveSession;
use oidc::Oidc;
use passwords::Passwords;

/// How people come in.
#[derive(Debug)]
pub struct SignIn {
    /// Where browsers find this Latchkey.
    pub public_url: PublicUrl,
    /// The proxies that say from where a request comes.
    pub trusted: TrustedProxies,
    /// Those that say so too, and are not trusted.
    pub forwarders: Forwarders,
    /// How long sessions last.
    pub lasting: Lasting,
    /// What checks passwords.
    pub passwords: Passwords,
    /// The OpenID provider, where there is one.
    pub oidc: Option<Oidc>,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// Unused.
    pub idle: SignedDuration,
    /// At most.
    pub longest: SignedDuration,
}

/// Where browsers find this Latchkey: a scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

/// Which of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The session.
    Session,
    /// A sign-in by OpenID Connect that is under way.
    Pending,
}

impl Default for Lasting {
    fn default() -> Self {
        Self { idle: SignedDuration::from_hours(12), longest: SignedDuration::from_hours(7 * 24) }
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "must be a URL without a path, such as https://latchkey.example.com".to_owned();
        let url = Url::parse(text).map_err(|_| wanted())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !bare || !anonymous {
            return Err(wanted());
        }
        Ok(Self(url))
    }
}

impl PublicUrl {
    /// Whether browsers come over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether only this machine's browsers find it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }

    /// The URL of a path, which begins with `/`.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        self.origin() + path
    }

    /// As browsers send it in `Origin`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl SignIn {
    /// With what is usual: no trusted proxies, no OpenID provider.
    #[must_use]
    pub fn new(public_url: PublicUrl, world: &World) -> Self {
        Self {
            public_url,
            trusted: TrustedProxies::default(),
            forwarders: Forwarders::default(),
            lasting: Lasting::default(),
            passwords: Passwords::new(world),
            oidc: None,
        }
    }

    /// Which sessions are live now.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> LiveSession {
        LiveSession { now, seen_after: now.checked_sub(self.lasting.idle).unwrap_or(Timestamp::MIN) }
    }

    /// From where a request comes, where that is known.
    #[must_use]
    pub fn client(&self, parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let lines = parts.headers.get_all("x-forwarded-for").into_iter();
        // A line that is no text hides what is before it.
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).collect::<Vec<_>>();
        if !hops.is_empty() && !self.trusted.trusts(peer.ip().to_canonical()) {
            self.forwarders.note(peer.ip().to_canonical());
        }
        Some(self.trusted.client(peer.ip(), hops.into_iter()))
    }

    /// Whether a browser says that another site's page sent the request.
    #[must_use]
    pub fn is_cross_site(&self, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
            return true;
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return false };
        let origin = origin.to_str().unwrap_or_default();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let to_host = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        origin != self.public_url.origin() && !to_host
    }

    /// A cookie's value, where the request has it.
    #[must_use]
    pub fn cookie(&self, cookie: Cookie, headers: &HeaderMap) -> Option<SecretString> {
        let name = self.name(cookie);
        let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.into()).next()
    }

    /// The header that gives a browser a cookie for so long.
    #[must_use]
    pub fn set_cookie(&self, cookie: Cookie, value: &SecretString, lasting: SignedDuration) -> HeaderValue {
        let (name, seconds) = (self.name(cookie), lasting.as_secs());
        let secure = if self.public_url.is_secure() { "; Secure" } else { "" };
        let value = value.expose_secret();
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut header = HeaderValue::try_from(text).expect("the values are base64url");
        header.set_sensitive(true);
        header
    }

    /// The header that takes a cookie away.
    #[must_use]
    pub fn clear_cookie(&self, cookie: Cookie) -> HeaderValue {
        self.set_cookie(cookie, &SecretString::default(), SignedDuration::ZERO)
    }

    /// A `__Host-` cookie is one that no other host and no plaintext could have set.
    fn name(&self, cookie: Cookie) -> &'static str {
        match (cookie, self.public_url.is_secure()) {
            (Cookie::Session, true) => "__Host-latchkey",
            (Cookie::Session, false) => "latchkey",
            (Cookie::Pending, true) => "__Host-latchkey-pending",
            (Cookie::Pending, false) => "latchkey-pending",
        }
    }
}

/// What a page must send along to show that it is ours: made from the session's cookie, which other
/// sites' pages cannot read.
#[must_use]
pub fn csrf_token(session: &SecretString) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(session.expose_secret().as_bytes()).expect("any length is a key");
    mac.update(b"latchkey csrf");
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// A new secret for a cookie or a link: 32 random bytes in base64url.
#[must_use]
pub fn secret(world: &World) -> SecretString {
    URL_SAFE_NO_PAD.encode(world.random::<32>()).into()
}

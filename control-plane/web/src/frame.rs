//! What is around every page: who is here, where they can go, what was just done, and in which zone times are.

mod navigation;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use latchkey_api::Api;
use latchkey_api::attention::{self, Attention};
use latchkey_api::auth::{
    AdminGuard, AnyActor, OwnerGuard, Person, ReaderGuard, SessionGuard, User, confirms,
};
use latchkey_api::problem::Problem;
use latchkey_core::actor::Actor;
use latchkey_core::role::Permission;
use latchkey_world::World;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use super::format::{Ago, Time};

pub use navigation::{NavLink, NavSection};

/// What was just done, for the next page to say; its text is escaped there, since a browser brings it.
const FLASH: &str = "latchkey-flash";
/// The viewer's IANA time zone, as the script learnt it.
const ZONE: &str = "latchkey-zone";

/// Somebody who is signed in, at a page.
#[derive(Clone, Debug)]
pub struct Visit {
    pub actor: Actor,
    pub user: User,
    /// What every form carries in the hidden field `csrf`.
    pub csrf: String,
    /// The path that was asked for.
    pub path: String,
    request: FrameRequest,
    attention: Attention,
}

/// What a browser brings for the frame.
#[derive(Clone, Debug)]
struct FrameRequest {
    zone: TimeZone,
    flash: Option<String>,
    once: Uuid,
    now: Timestamp,
}

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Frame {
    pub title: String,
    /// Who is here; nobody where one signs in.
    pub user: Option<FrameUser>,
    pub flash: Option<String>,
    /// What a creation on this page is called, so that sending it twice creates once.
    pub once: Uuid,
    path: String,
    zone: TimeZone,
    now: Timestamp,
}

/// Somebody who is here, as the frame shows them.
#[derive(Clone, Debug)]
pub struct FrameUser {
    pub name: String,
    pub sections: Vec<NavSection>,
    /// What every form carries in the hidden field `csrf`.
    pub csrf: String,
    /// Whether they may change the configuration.
    pub admin: bool,
    /// Whether they may manage people.
    pub owner: bool,
    attention: Attention,
}

impl FromRequestParts<Api> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let SessionGuard { actor, user, csrf } = SessionGuard::from_request_parts(parts, api).await?;
        let request = FrameRequest::new(&parts.headers, &api.world);
        let (path, attention) = (parts.uri.path().to_owned(), Attention::default());
        let mut visit = Self { actor, user, csrf, path, request, attention };
        // Whatever a page of the console asks besides.
        if visit.path == "/admin" || visit.path.starts_with("/admin/") {
            let _reader = visit.reader()?;
            if !parts.method.is_safe() {
                let _admin = visit.admin()?;
            }
        }
        if let Ok(reader) = visit.reader() {
            visit.attention = attention::count(reader, api).await?;
        }
        Ok(visit)
    }
}

impl FrameRequest {
    fn new(headers: &HeaderMap, world: &World) -> Self {
        let zone = cookie(headers, ZONE).and_then(|name| TimeZone::get(&name).ok());
        Self {
            zone: zone.unwrap_or(TimeZone::UTC),
            flash: cookie(headers, FLASH),
            once: world.id(),
            now: world.now(),
        }
    }
}

impl Visit {
    /// The frame of a page with this title.
    #[must_use]
    pub fn frame(&self, title: impl Into<String>) -> Frame {
        let FrameRequest { zone, flash, once, now } = self.request.clone();
        let permits = |permission| self.actor.role.permits(permission);
        let user = FrameUser {
            name: self.user.name.to_string(),
            sections: navigation::sections(self.actor.role),
            csrf: self.csrf.clone(),
            admin: permits(Permission::GatewayUpdate),
            owner: permits(Permission::MembersUpdate),
            attention: self.attention,
        };
        let (title, path) = (title.into(), self.path.clone());
        Frame { title, user: Some(user), flash, once, path, zone, now }
    }

    /// A moment that was typed: with its offset, or as the viewer's clock has it, as in `2026-11-22T10:00`; a
    /// day is its beginning.
    ///
    /// # Errors
    /// It is none.
    pub fn moment(&self, typed: &str) -> Result<Timestamp, &'static str> {
        if let Ok(at) = typed.parse::<Timestamp>() {
            return Ok(at);
        }
        let civil = typed.parse::<DateTime>().map_err(|_| "must be a time, such as 2026-11-22T10:00")?;
        let zoned = civil.to_zoned(self.request.zone.clone());
        Ok(zoned.map_err(|_| "is out of range")?.timestamp())
    }

    /// The viewer's zone.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        &self.request.zone
    }

    /// Now, by the clock that pages tell distances by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.request.now
    }

    /// Whether a form's field is this session's CSRF token.
    #[must_use]
    pub fn confirms(&self, field: &str) -> bool {
        confirms(field.as_bytes(), &self.csrf)
    }

    /// The signed-in user, as the API knows them.
    #[must_use]
    pub fn anyone(&self) -> AnyActor {
        AnyActor(self.actor.clone())
    }

    /// As the API knows a person.
    #[must_use]
    pub fn person(&self) -> Person {
        Person { actor: self.actor.clone(), user: self.user.clone() }
    }

    /// As the API knows those who may see the configuration.
    ///
    /// # Errors
    /// They may not.
    pub fn reader(&self) -> Result<ReaderGuard, Problem> {
        self.anyone().try_into()
    }

    /// As the API knows those who may change the configuration.
    ///
    /// # Errors
    /// They may not.
    pub fn admin(&self) -> Result<AdminGuard, Problem> {
        self.anyone().try_into()
    }

    /// As the API knows those who may manage people.
    ///
    /// # Errors
    /// They may not.
    pub fn owner(&self) -> Result<OwnerGuard, Problem> {
        self.anyone().try_into()
    }
}

impl Frame {
    /// The frame of a page for somebody who has not signed in.
    #[must_use]
    pub fn outside(title: &str, headers: &HeaderMap, world: &World) -> Self {
        let FrameRequest { zone, flash, once, now } = FrameRequest::new(headers, world);
        Self { title: title.to_owned(), user: None, flash, once, path: String::new(), zone, now }
    }

    /// Whether a link of the navigation leads to this page, or to what it is a part of.
    #[must_use]
    pub fn is_at(&self, link: &NavLink) -> bool {
        let rest = self.path.strip_prefix(link.to);
        rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && !link.exact))
    }

    /// How much waits behind a link of the navigation, and what that is.
    #[must_use]
    pub fn waiting(&self, link: &NavLink) -> Option<(u64, &'static str)> {
        navigation::waiting(link, self.user.as_ref()?.attention)
    }

    /// Whether this is the page at `path`.
    #[must_use]
    pub fn is(&self, path: &str) -> bool {
        self.path == path
    }

    /// The token that every form carries in the hidden field `csrf`.
    #[must_use]
    pub fn csrf(&self) -> &str {
        self.user.as_ref().map_or("", |user| &user.csrf)
    }

    /// Whether who is here may change the configuration.
    #[must_use]
    pub fn admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.admin)
    }

    /// Whether who is here may manage people.
    #[must_use]
    pub fn owner(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.owner)
    }

    /// A moment in the viewer's zone, with the exact one on hover.
    #[must_use]
    pub fn time(&self, at: &Timestamp) -> Time {
        Time::new(*at, &self.zone)
    }

    /// A moment to come in the viewer's zone: its day, and its time where that is near.
    #[must_use]
    pub fn by(&self, at: &Timestamp) -> Time {
        Time::by(*at, self.now, &self.zone)
    }

    /// How long ago, or in how long, with the exact moment on hover.
    #[must_use]
    pub fn ago(&self, at: &Timestamp) -> Ago {
        Ago::new(*at, self.now, &self.zone)
    }

    /// The same of a moment that may be missing: `none` then.
    #[must_use]
    pub fn ago_or(&self, at: &Option<Timestamp>, none: &'static str) -> Ago {
        at.as_ref().map_or(Ago::none(none), |at| self.ago(at))
    }

    /// Whether a moment has passed; one that is missing never does.
    #[must_use]
    pub fn over(&self, at: &Option<Timestamp>) -> bool {
        at.is_some_and(|at| at <= self.now)
    }

    /// The moment that a date and time is in the viewer's zone; none beyond what a clock can show.
    #[must_use]
    pub fn moment(&self, at: DateTime) -> Option<Timestamp> {
        Some(at.to_zoned(self.zone.clone()).ok()?.timestamp())
    }

    /// The viewer's zone, by name.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

/// Leads the browser to another page of ours.
#[must_use]
pub fn redirect(to: &str) -> Response {
    let Ok(to) = HeaderValue::try_from(to) else { return Problem::internal().into_response() };
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// The same, and the page there says what was done.
#[must_use]
pub fn done(to: &str, what: &str) -> Response {
    let text = utf8_percent_encode(what, NON_ALPHANUMERIC);
    let cookie = format!("{FLASH}={text}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
    (AppendHeaders([(header::SET_COOKIE, cookie)]), redirect(to)).into_response()
}

/// Forgets what was done once a page has said it.
pub(super) fn forget_flash(headers: &HeaderMap, response: &mut Response) {
    let shown = cookie(headers, FLASH).is_some() && !response.status().is_redirection();
    if shown && let Ok(cookie) = HeaderValue::try_from(format!("{FLASH}=; Path=/; Max-Age=0")) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

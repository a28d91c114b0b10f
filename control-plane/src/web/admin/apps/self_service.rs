//! Who may do what with an app by themselves.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::access::Capability;
use latchkey_core::settings::CredentialMode;
use serde::Deserialize;
use uuid::Uuid;

use super::tabs::Tabs;
use super::{people, secret};
use crate::api::access::{self, AccessExplanation, AccessQuery, PeopleQuery, PersonAccess};
use crate::api::apps::{self, AppView};
use crate::api::body::{Body, Path, Query};
use crate::api::page::{Page, PageQuery};
use crate::api::problem::Problem;
use crate::api::self_service::{self, EditSelfService, RuleView, SelfServiceView};
use crate::api::{Api, groups};
use crate::web::form::{Field, Form, Kind, Posted, Typed};
use crate::web::format;
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::list::{Filter, More, Next};

const SETTINGS: &[Field] = &[
    ("suspend_keys_on_lost_access", Kind::Flag),
    ("most_keys_per_user", Kind::Number),
    ("longest_key_lifetime_days", Kind::Number),
];

/// The fields of a capability's rule: its mode, and its lists.
macro_rules! rule {
    ($at:literal) => {
        (
            (concat!($at, ".mode"), Kind::Text),
            [(concat!($at, ".allow.emails"), Kind::List), (concat!($at, ".allow.group_names"), Kind::List)],
            [
                (concat!($at, ".exceptions.emails"), Kind::List),
                (concat!($at, ".exceptions.group_names"), Kind::List),
            ],
        )
    };
}

const RULES: [(Field, [Field; 2], [Field; 2]); 4] = [
    rule!("access.viewer"),
    rule!("access.settings_request"),
    rule!("access.key_visibility"),
    rule!("access.all_logs"),
];

/// The capabilities: their paths, their names, and what they give.
const CAPABILITIES: [(&str, &str, &str); 4] = [
    ("viewer", "Viewer access", "See the app in the portal, and create named keys."),
    (
        "settings_request",
        "Settings request access",
        "Ask for changes, which an admin approves. Implies viewer access, unless that excepts them.",
    ),
    ("key_visibility", "API key visibility", "See and copy key values again, where they are kept."),
    ("all_logs", "All logs visibility", "See everyone's logs and usage of this app, not only their own."),
];

#[derive(Template)]
#[template(path = "admin/self_service.html")]
struct SelfServicePage {
    frame: Frame,
    tabs: Tabs,
    mode: Form,
    form: Form,
    groups: Vec<String>,
    people: Page<PersonAccess>,
    /// Whether they are those that there would be, if this were saved.
    preview: bool,
    asked: Form,
    explained: Option<AccessExplanation>,
    more: More,
}

/// What is asked of the people who have access.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    capability: Option<Capability>,
    search: String,
    explain: String,
    cursor: Option<String>,
}

/// Shows it.
pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Filter(asked): Filter<Asked>,
) -> Result<Response, Problem> {
    let now = self_service::read(visit.reader()?, State(api.clone()), Path(id)).await?.0;
    show(&visit, &api, id, asked, filled(&now), None).await
}

/// Edits it.
pub async fn update(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let saved = async {
        let edit = typed(&posted, &api, id).await?;
        self_service::update(admin, State(api.clone()), Path(id), edit).await
    };
    match saved.await {
        Ok(_) => Ok(done(&format!("/admin/apps/{id}/self-service"), "Saved.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Shows who would have access, if what was typed were saved.
pub async fn preview(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let previewed = async {
        let edit = typed(&posted, &api, id).await?;
        let most = PageQuery::most();
        let query = Query(PeopleQuery { capability: None, cursor: None, limit: most.limit, search: None });
        self_service::preview(admin, State(api.clone()), Path(id), query, edit).await
    };
    match previewed.await {
        Ok(people) => {
            let form = posted.typed.form();
            show(&posted.visit, &api, id, Asked::default(), form, Some(people)).await
        }
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// The edit that was typed.
async fn typed(posted: &Posted, api: &Api, id: Uuid) -> Result<Body<EditSelfService>, Problem> {
    let now = self_service::read(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0;
    let typed = posted.typed.clone().over(filled(&now));
    Ok(Body(typed.read(&fields(&typed))?))
}

/// The fields that count with the modes that are chosen. The API keeps a list that its mode does not look at, so
/// it takes one that nobody touched.
fn fields(typed: &Typed) -> Vec<Field> {
    let mut fields = SETTINGS.to_vec();
    for (mode, allow, exceptions) in RULES {
        let untouched = |list: &[Field]| list.iter().all(|(name, _)| typed.is_as_shown(name));
        let chosen = typed.text(mode.0);
        let is_viewer = mode.0 == "access.viewer.mode";
        fields.push(mode);
        fields.extend(allow.iter().filter(|_| chosen == "specific" || untouched(&allow)));
        fields.extend(
            exceptions.iter().filter(|_| chosen != "disabled" || is_viewer || untouched(&exceptions)),
        );
    }
    fields
}

/// Switches between a shared key and named keys.
pub async fn mode(State(api): State<Api>, Path(id): Path<Uuid>, posted: Posted) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let saved = async {
        let edit = Body(posted.typed.read(&[("mode", Kind::Text)])?);
        apps::update(admin, State(api.clone()), Path(id), edit).await
    };
    match saved.await {
        // In named mode nobody needs the app key that named keys are made of.
        Ok(Json(AppView { key: Some(key), mode: CredentialMode::Shared, .. })) => {
            let app = apps::read(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0.item;
            let reached = apps::propagation(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0;
            let value = key.value.unwrap_or_default();
            secret::app(&posted.visit, &api, &app, "New app key", value, Some(reached)).await
        }
        Ok(_) => Ok(done(&format!("/admin/apps/{id}/self-service"), "Saved.")),
        Err(problem) => {
            let now = self_service::read(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0;
            let form = filled(&now).refused(problem)?;
            refused(show(&posted.visit, &api, id, Asked::default(), form, None).await?)
        }
    }
}

async fn again(posted: &Posted, api: &Api, id: Uuid, problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    refused(show(&posted.visit, api, id, Asked::default(), form, None).await?)
}

fn refused(page: Response) -> Result<Response, Problem> {
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    asked: Asked,
    form: Form,
    preview: Option<Page<PersonAccess>>,
) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let app = apps::read(visit.reader()?, state(), Path(id)).await?.0.item;
    let path = format!("/admin/apps/{id}/self-service");
    let Asked { capability, search, explain, cursor } = asked;
    let word = capability.unwrap_or(Capability::Viewer).as_str();
    let shown = Form::default().with("capability", word).with("search", &search).with("explain", &explain);
    let previewed = preview.is_some();
    let people = match preview {
        Some(people) => people,
        None => {
            let query = PeopleQuery { capability, cursor, limit: Some(50), search: Some(search.clone()) };
            access::people(visit.reader()?, state(), Path(id), Query(query)).await?
        }
    };
    let (explained, shown) = match self::explain(visit, api, id, &explain).await {
        Ok(explained) => (explained, shown),
        Err(problem) => (None, shown.refused(problem)?),
    };
    let cursor = people.next_cursor.as_deref().filter(|_| !previewed);
    let more = Next::new(&path, &[("capability", word), ("search", &search)], cursor);
    let groups = groups::list(visit.reader()?, state(), Query(PageQuery::most())).await?.items;
    html(&SelfServicePage {
        frame: visit.frame(format!("{}: self-service", app.name)),
        tabs: Tabs::of(&app, "self-service"),
        mode: Form::of(&app),
        form,
        groups: groups.into_iter().map(|group| group.name.to_string()).collect(),
        people,
        preview: previewed,
        asked: shown,
        explained,
        more,
    })
}

/// Why somebody has access, or has not.
async fn explain(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    email: &str,
) -> Result<Option<AccessExplanation>, Problem> {
    if email.is_empty() {
        return Ok(None);
    }
    let user_id = people::at(visit, api, "explain", email).await?;
    let query = AccessQuery { user_id, capability: None };
    Ok(Some(access::explain(visit.reader()?, State(api.clone()), Path(id), Query(query)).await?.0))
}

/// The form as the settings are now, with people and groups by what they are called.
fn filled(now: &SelfServiceView) -> Form {
    let access = &now.access;
    let rules = [
        ("viewer", &access.viewer),
        ("settings_request", &access.settings_request),
        ("key_visibility", &access.key_visibility),
        ("all_logs", &access.all_logs),
    ];
    let lists = rules.into_iter().flat_map(|(capability, RuleView { allow, exceptions, .. })| {
        [("allow", allow), ("exceptions", exceptions)]
            .map(|(list, who)| (format!("access.{capability}.{list}"), who))
    });
    lists.fold(Form::of(now), |form, (path, who)| {
        let lines = |names: Vec<&str>| {
            names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("\n")
        };
        let emails = lines(who.users.iter().map(|user| user.email.as_str()).collect());
        let groups = lines(who.groups.iter().map(|group| group.name.as_str()).collect());
        form.with(&format!("{path}.emails"), emails).with(&format!("{path}.group_names"), groups)
    })
}

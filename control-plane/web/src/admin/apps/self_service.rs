//! Who may do what with an app by themselves.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::access::{self, AccessExplanation, AccessQuery, PeopleQuery, PersonAccess};
use latchkey_api::apps::{self, AppView};
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::pagination::{ListPage, PageQuery};
use latchkey_api::precondition::{IfMatch, Tagged};
use latchkey_api::problem::Problem;
use latchkey_api::self_service::{self, EditSelfService, RuleView, SelfServiceView};
use latchkey_api::{Api, groups};
use latchkey_core::access::Capability;
use latchkey_core::settings::CredentialMode;
use serde::Deserialize;
use uuid::Uuid;

use super::tabs::Tabs;
use super::{people, secret};
use crate::form::{Field, FieldKind, FormInput, HtmlForm, IF_MATCH, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::list::{Filter, PaginatedList};
use crate::{html, unprocessable};

const SETTINGS: &[Field] = &[
    ("suspend_keys_on_lost_access", FieldKind::Flag),
    ("most_keys_per_user", FieldKind::Number),
    ("longest_key_lifetime_days", FieldKind::Number),
];

/// The fields of a capability's rule: its mode, and its lists.
macro_rules! rule {
    ($at:literal) => {
        (
            (concat!($at, ".mode"), FieldKind::Text),
            [
                (concat!($at, ".allow.emails"), FieldKind::List),
                (concat!($at, ".allow.group_names"), FieldKind::List),
            ],
            [
                (concat!($at, ".exceptions.emails"), FieldKind::List),
                (concat!($at, ".exceptions.group_names"), FieldKind::List),
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
    ("viewer", "Viewer access", "See the app in the portal and create named keys."),
    (
        "settings_request",
        "Settings request access",
        "Request changes for an admin to approve. Includes viewer access, unless excluded there.",
    ),
    ("key_visibility", "API key visibility", "View and copy stored key values."),
    ("all_logs", "All logs visibility", "See everyone's logs and usage in this app, not only their own."),
];

#[derive(Template)]
#[template(path = "admin/self_service.html")]
struct SelfServicePage {
    frame: Frame,
    tabs: Tabs,
    mode: HtmlForm,
    form: HtmlForm,
    groups: Vec<String>,
    people: PaginatedList<PersonAccess>,
    /// Whether they are those that there would be, if this were saved.
    preview: bool,
    /// Whether there would be more of them.
    is_cut: bool,
    /// Whose access is looked at.
    question: HtmlForm,
    explained: Option<AccessExplanation>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeopleFilter {
    capability: Option<Capability>,
    search: String,
    explain: String,
    cursor: Option<String>,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Filter(filter): Filter<PeopleFilter>,
) -> Result<Response, Problem> {
    let form = now(&visit, &api, id).await?;
    show(&visit, &api, id, filter, form, None).await
}

pub async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let saved = async {
        let edit = typed(&posted, &api, id).await?;
        self_service::update(admin, State(api.clone()), PathParams(id), posted.if_match(), edit).await
    };
    let again = async |form: HtmlForm| {
        let form = form.on_top_of(&now(&posted.visit, &api, id).await?);
        show(&posted.visit, &api, id, PeopleFilter::default(), form, None).await
    };
    posted.answer(saved.await, |_| done(&path(id), "Saved."), again).await
}

/// Shows who would have access, if what was typed were saved.
pub async fn preview(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let previewed = async {
        let edit = typed(&posted, &api, id).await?;
        let most = PageQuery::most();
        let query = Query(PeopleQuery { capability: None, cursor: None, limit: most.limit, search: None });
        self_service::preview(admin, State(api.clone()), PathParams(id), query, edit).await
    };
    match previewed.await {
        Ok(people) => {
            let form = posted.typed.form();
            show(&posted.visit, &api, id, PeopleFilter::default(), form, Some(people)).await
        }
        Err(problem) => Ok(unprocessable(
            show(&posted.visit, &api, id, PeopleFilter::default(), posted.refused(problem)?, None).await?,
        )),
    }
}

/// The edit that was typed.
async fn typed(posted: &Posted, api: &Api, id: Uuid) -> Result<JsonBody<EditSelfService>, Problem> {
    let shown = match posted.typed.as_shown() {
        Some(shown) => shown,
        None => now(&posted.visit, api, id).await?,
    };
    let typed = posted.typed.clone().over(shown);
    Ok(JsonBody(typed.read(&fields(&typed))?))
}

/// The form as the settings are now.
async fn now(visit: &Visit, api: &Api, id: Uuid) -> Result<HtmlForm, Problem> {
    let read = self_service::read(visit.reader()?, State(api.clone()), PathParams(id)).await?;
    let Tagged(now, tag) = read;
    Ok(filled(&now).with(IF_MATCH, tag.as_str()))
}

/// The fields that count with the modes that are chosen. The API keeps a list that its mode does not look at, so
/// it takes one that nobody touched.
fn fields(typed: &FormInput) -> Vec<Field> {
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
pub async fn mode(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let saved = async {
        let edit = JsonBody(posted.typed.read(&[("mode", FieldKind::Text)])?);
        // The form has nothing else that somebody may have changed.
        apps::update(admin, State(api.clone()), PathParams(id), IfMatch::default(), edit).await
    };
    match saved.await {
        // In named mode nobody needs the app key that named keys are made of.
        Ok(Tagged(AppView { key: Some(key), mode: CredentialMode::Shared, .. }, _)) => {
            let app = super::app(&posted.visit, &api, id).await?;
            let reached =
                apps::propagation(posted.visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
            let value = key.value.unwrap_or_default();
            secret::app(&posted.visit, &api, &app, "New app key", value, Some(reached)).await
        }
        Ok(_) => Ok(done(&path(id), "Saved.")),
        Err(problem) => {
            let form = now(&posted.visit, &api, id).await?.refused(problem)?;
            Ok(unprocessable(show(&posted.visit, &api, id, PeopleFilter::default(), form, None).await?))
        }
    }
}

fn path(id: Uuid) -> String {
    format!("/admin/apps/{id}/self-service")
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    filter: PeopleFilter,
    form: HtmlForm,
    preview: Option<ListPage<PersonAccess>>,
) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let app = super::app(visit, api, id).await?;
    let PeopleFilter { capability, search, explain, cursor } = filter;
    let word = capability.unwrap_or(Capability::Viewer).as_str();
    let shown =
        HtmlForm::default().with("capability", word).with("search", &search).with("explain", &explain);
    let previewed = preview.is_some();
    let people = match preview {
        // Its other pages are not saved, either.
        Some(people) => people,
        None => {
            let query = PeopleQuery { capability, cursor, limit: Some(50), search: Some(search.clone()) };
            access::people(visit.reader()?, state(), PathParams(id), Query(query)).await?
        }
    };
    let (explained, shown) = match self::explain(visit, api, id, &explain).await {
        Ok(explained) => (explained, shown),
        Err(problem) => (None, shown.refused(problem)?),
    };
    let is_cut = previewed && people.next_cursor.is_some();
    let people = PaginatedList::new(&path(id), &[("capability", word), ("search", &search)], people);
    let groups = groups::list(visit.reader()?, state(), Query(PageQuery::most())).await?.items;
    html(&SelfServicePage {
        frame: visit.frame(format!("{}: self-service", app.name)),
        tabs: Tabs::of(&app, "self-service"),
        mode: HtmlForm::of(&app),
        form,
        groups: groups.into_iter().map(|group| group.name.to_string()).collect(),
        people,
        preview: previewed,
        is_cut,
        question: shown,
        explained,
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
    Ok(Some(access::explain(visit.reader()?, State(api.clone()), PathParams(id), Query(query)).await?.0))
}

/// The form as the settings are now, with people and groups by what they are called.
fn filled(now: &SelfServiceView) -> HtmlForm {
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
    lists.fold(HtmlForm::of(now), |form, (path, who)| {
        let lines = |names: Vec<&str>| {
            names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("\n")
        };
        let emails = lines(who.users.iter().map(|user| user.email.as_str()).collect());
        let groups = lines(who.groups.iter().map(|group| group.name.as_str()).collect());
        form.with(&format!("{path}.emails"), emails).with(&format!("{path}.group_names"), groups)
    })
}

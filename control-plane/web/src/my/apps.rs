//! The apps granted to me, and the Settings tab of one.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::keys::{KeyView, UserKey};
use latchkey_api::my_apps::{self, MyApp, MyAppDetails, MyModel};
use latchkey_api::my_keys;
use latchkey_api::pagination::{ListPage, PageQuery};
use latchkey_api::problem::Problem;
use latchkey_core::access::Capability;
use latchkey_core::change_request::Kind;
use latchkey_core::money::NanoUsd;
use latchkey_core::price::Price;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Standing;
use uuid::Uuid;

use crate::form::Posted;
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::limits::{Line, Meter, lines, meters_with_periods, of_a_request};
use crate::list::PaginatedList;
use crate::snippets::Snippets;

#[derive(Template)]
#[template(path = "my/apps.html")]
struct MyAppsPage {
    frame: Frame,
    search: String,
    list: PaginatedList<MyApp>,
    /// One's own keys of apps that one no longer sees.
    lost: ListPage<UserKey>,
}

#[derive(Template)]
#[template(path = "my/app.html")]
struct MyAppPage {
    frame: Frame,
    app: MyAppDetails,
    base_url: String,
    gateway_url: String,
    meters: Vec<Meter>,
    request_limits: Vec<Line>,
    key_limits: Vec<Line>,
    /// One's own keys, in named mode, and what they are searched for.
    keys: Option<PaginatedList<Active<KeyView>>>,
    search: String,
}

/// A page that shows a key's value, with what to paste into a program.
#[derive(Template)]
#[template(path = "my/value.html")]
pub(super) struct ValuePage {
    pub(super) frame: Frame,
    pub(super) app: MyAppDetails,
    pub(super) note: String,
    pub(super) value: String,
    pub(super) snippets: Snippets,
    pub(super) next: String,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let page = my_apps::list(visit.person(), State(api.clone()), Query(query)).await?;
    let lost = my_keys::without_access(visit.person(), State(api), Query(PageQuery::most())).await?;
    let list = PaginatedList::new("/apps", &[("search", &search)], page);
    html(&MyAppsPage { frame: visit.frame("My apps"), search, list, lost })
}

/// Shows the Settings tab of one.
pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let app = read(&visit, &api, id).await?;
    let search = query.search.clone().unwrap_or_default();
    let keys = match app.app.mode {
        CredentialMode::Named => {
            let keys =
                my_keys::list(visit.person(), State(api.clone()), PathParams(id), Query(query)).await?;
            Some(PaginatedList::new(&format!("/apps/{id}"), &[("search", &search)], keys))
        }
        CredentialMode::Shared => None,
    };
    html(&MyAppPage {
        frame: visit.frame(app.app.name.as_str()),
        base_url: snippets(&api, &app, None).base_url,
        gateway_url: api.gateway_url.to_string(),
        meters: meters_with_periods(&app.limits, &app.usage),
        request_limits: of_a_request(&app.limits),
        key_limits: lines(&app.named_key_limits),
        app,
        keys,
        search,
    })
}

/// Shows the value of the key that the app's users share.
pub async fn value(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let value = my_apps::value(posted.visit.person(), State(api.clone()), PathParams(id)).await?.0.value;
    let app = read(&posted.visit, &api, id).await?;
    html(&ValuePage {
        frame: posted.visit.frame(format!("Key of {}", app.app.name.as_str())),
        note: "Everyone with access to this app shares this key.".to_owned(),
        snippets: snippets(&api, &app, Some(&value)),
        value,
        next: format!("/apps/{id}"),
        app,
    })
}

/// An app that the visitor may view.
pub(super) async fn read(visit: &Visit, api: &Api, id: Uuid) -> Result<MyAppDetails, Problem> {
    Ok(my_apps::read(visit.person(), State(api.clone()), PathParams(id)).await?.0)
}

/// What to paste into a program.
pub(super) fn snippets(api: &Api, app: &MyAppDetails, key: Option<&str>) -> Snippets {
    Snippets::new(&api.gateway_url, key, chats(&app.models))
}

/// A model to try: one that is likely to chat.
fn chats(models: &[MyModel]) -> Option<&str> {
    const OTHERS: [&str; 7] = ["embed", "image", "audio", "tts", "whisper", "moderation", "transcribe"];
    let names = || models.iter().map(|model| model.name.as_str());
    names().find(|name| !OTHERS.iter().any(|other| name.contains(other))).or_else(|| names().next())
}

/// What 1,000 tokens of input and 500 of output cost.
fn example(price: &Price) -> NanoUsd {
    let of = |NanoUsd(million): NanoUsd, tokens: u128| u128::from(million) * tokens;
    let nano = (of(price.rates.input, 1000) + of(price.rates.output, 500)).div_ceil(1_000_000);
    NanoUsd(u64::try_from(nano).unwrap_or(u64::MAX))
}

/// What an app is that does not work.
pub(super) fn word(status: &Standing) -> &'static str {
    match status {
        Standing::Active => "active",
        Standing::Inactive => "deactivated",
        Standing::Expired => "expired",
        Standing::Revoked => "revoked",
    }
}

/// What a capability lets one do.
fn may(capability: &Capability) -> &'static str {
    match capability {
        Capability::Viewer => "see the app",
        Capability::SettingsRequest => "request changes",
        Capability::KeyVisibility => "see key values",
        Capability::AllLogs => "see all logs",
    }
}

/// What a kind of request is called.
pub(super) fn asked(kind: &Kind) -> &'static str {
    match kind {
        Kind::UpdateConfig => "Limits, models and configuration",
        Kind::SetTags => "Tags",
        Kind::JwtAuthSettings => "Identity and JWT",
        Kind::CustomCategories => "Custom categories",
        Kind::PromptStore => "Prompts",
    }
}

/// Whether the visitor may do this with the app.
pub(super) fn grants(app: &MyAppDetails, capability: Capability) -> bool {
    app.app.capabilities.contains(&capability)
}

/// What they may ask for: how users are recognised has no meaning in named mode.
fn kinds(app: &MyAppDetails) -> Vec<Kind> {
    let named = app.app.mode == CredentialMode::Named;
    Kind::ALL.into_iter().filter(|kind| !(named && *kind == Kind::JwtAuthSettings)).collect()
}

#[cfg(test)]
mod tests {
    use latchkey_core::price::Rates;

    use super::*;

    #[test]
    fn an_example_costs_what_its_tokens_cost() {
        let rates = Rates {
            input: NanoUsd(2_500_000_000),
            cached_input: NanoUsd(0),
            cache_write_5m: NanoUsd(2_500_000_000),
            cache_write_1h: NanoUsd(2_500_000_000),
            output: NanoUsd(10_000_000_000),
        };
        let price = Price { rates, long_context: None, tiers: [].into() };
        assert_eq!(example(&price), NanoUsd(2_500_000 + 5_000_000));
    }

    #[test]
    fn a_model_that_chats_is_tried_first() {
        let model = |name: &str| MyModel {
            name: name.to_owned().try_into().unwrap(),
            provider: "openai".into(),
            price: None,
            max_output_tokens: None,
            context_window: None,
        };
        let models = ["text-embedding-3-small", "gpt-image-1", "gpt-4o"].map(model);
        assert_eq!(chats(&models), Some("gpt-4o"));
        assert_eq!(chats(&models[..1]), Some("text-embedding-3-small"));
        assert_eq!(chats(&[]), None);
    }
}

//! Models and what they cost.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::catalogue::AS_OF;
use latchkey_core::price::{Price, Tier};
use serde_json::Value;
use uuid::Uuid;

use super::providers::{OUTPUT_LIMITS, STREAM_OPTIONS};
use crate::api::Api;
use crate::api::body::{Body, Path};
use crate::api::models::{self, DensityView, KnownView, ModelView, PastPriceView};
use crate::api::problem::Problem;
use crate::api::providers::{self, ProviderView};
use crate::web::form::{Asked, Field, Form, Kind, Posted, Typed};
use crate::web::format;
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;

const PRICE: &[Field] = &[
    ("price.input", Kind::Amount),
    ("price.cached_input", Kind::Amount),
    ("price.cache_write_5m", Kind::Amount),
    ("price.cache_write_1h", Kind::Amount),
    ("price.output", Kind::Amount),
];
const LONG_CONTEXT: &[Field] = &[
    ("price.long_context.above", Kind::Number),
    ("price.long_context.input", Kind::Amount),
    ("price.long_context.cached_input", Kind::Amount),
    ("price.long_context.cache_write_5m", Kind::Amount),
    ("price.long_context.cache_write_1h", Kind::Amount),
    ("price.long_context.output", Kind::Amount),
];
/// A long input costs no more: null.
const NO_LONG_CONTEXT: Field = ("price.long_context", Kind::Optional);
const TIERS: Field = ("price.tiers", Kind::Tiers);
/// No price: null.
const NO_PRICE: Field = ("price", Kind::Optional);
const DIALECT: &[Field] = &[("output_limit", Kind::Optional), ("stream_options", Kind::Choice)];
const SIZES: &[Field] = &[("max_output_tokens", Kind::Number), ("context_window", Kind::Number)];

/// What a new model costs.
const PRICED: &[(&str, &str, &str)] = &[
    ("catalogue", "As the catalogue of well-known models says", "Without a price where it is not in there."),
    ("own", "As typed below", ""),
    ("none", "No price", "Apps with a budget may not use it."),
];

#[derive(Template)]
#[template(path = "admin/models.html")]
struct ModelsPage {
    frame: Frame,
    models: Vec<ModelView>,
    providers: Vec<ProviderView>,
}

#[derive(Template)]
#[template(path = "admin/model_new.html")]
struct NewModelPage {
    frame: Frame,
    providers: Vec<ProviderView>,
    known: Vec<KnownView>,
    as_of: &'static str,
    form: Form,
}

#[derive(Template)]
#[template(path = "admin/model.html")]
struct ModelPage {
    frame: Frame,
    model: ModelView,
    prices: Vec<PastPriceView>,
    densities: Vec<DensityView>,
    form: Form,
}

/// Lists them.
pub async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let models = models::list(visit.reader()?, State(api.clone())).await?.items;
    let providers = providers::list(visit.reader()?, State(api)).await?.items;
    html(&ModelsPage { frame: visit.frame("Models and prices"), models, providers })
}

/// Asks for a new one; `name` and `provider` may be chosen already.
pub async fn new(visit: Visit, State(api): State<Api>, Asked(asked): Asked) -> Result<Response, Problem> {
    visit.admin()?;
    ask(&visit, &api, asked.with("enabled", "true").with("priced", "catalogue").form()).await
}

/// Creates it.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let admin = posted.visit.admin()?;
        let creation = posted.creation(&new_fields(&posted.typed), Body)?;
        models::create(admin, State(api.clone()), creation).await?.told::<Value>()
    };
    match attempt.await {
        Ok(model) => Ok(done(
            &format!("/admin/models/{}", model["id"].as_str().unwrap_or_default()),
            "The model is created.",
        )),
        Err(problem) => {
            let page = ask(&posted.visit, &api, posted.refused(problem)?).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Shows one.
pub async fn page(visit: Visit, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    show(&visit, &api, id, None).await
}

/// Edits it.
pub async fn update(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let admin = posted.visit.admin()?;
        let now = models::read(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0;
        let typed = posted.typed.clone().over(filled(&now));
        let edit = Body(typed.read(&edit_fields(&typed))?);
        models::update(admin, State(api.clone()), Path(id), edit).await
    };
    match edited.await {
        Ok(_) => Ok(done(&format!("/admin/models/{id}"), "Saved; gateways are told.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Deletes it.
pub async fn delete(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match models::delete(posted.visit.admin()?, State(api.clone()), Path(id)).await {
        Ok(_) => Ok(done("/admin/models", "The model is deleted. Records keep what it cost.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// What is left empty is as the catalogue has it.
fn new_fields(typed: &Typed) -> Vec<Field> {
    let mut fields = vec![("name", Kind::Text), ("provider", Kind::Text), ("enabled", Kind::Flag)];
    fields.extend([("upstream_name", Kind::Optional), ("priced", Kind::Aside)]);
    match typed.text("priced") {
        "own" => {
            fields.extend(PRICE);
            fields.extend(LONG_CONTEXT.iter().filter(|_| has_long_context(typed)));
            fields.extend(Some(TIERS).filter(|(name, _)| !typed.text(name).is_empty()));
        }
        "none" => fields.push(NO_PRICE),
        _ => {}
    }
    fields.extend(DIALECT);
    fields.extend(SIZES.iter().filter(|(name, _)| !typed.text(name).is_empty()));
    fields
}

/// What is left empty is not known. With another name at its provider, what nobody has touched is left out: the
/// catalogue may know it by that name.
fn edit_fields(typed: &Typed) -> Vec<Field> {
    let mut fields = all_edit_fields(typed);
    if !typed.is_as_shown("upstream_name") {
        let is_price = |name: &str| name == "price" || name.starts_with("price.");
        let price_stays = typed.is_as_shown("unpriced")
            && PRICE.iter().chain(LONG_CONTEXT).chain([&TIERS]).all(|(name, _)| typed.is_as_shown(name));
        fields.retain(|(name, _)| !(price_stays && is_price(name)));
        fields.retain(|field| !(SIZES.contains(field) && typed.is_as_shown(field.0)));
    }
    fields
}

fn all_edit_fields(typed: &Typed) -> Vec<Field> {
    let mut fields = vec![("upstream_name", Kind::Text), ("enabled", Kind::Flag), ("unpriced", Kind::Aside)];
    fields.extend(SIZES);
    fields.extend(DIALECT);
    match typed.has("unpriced") {
        true => fields.push(NO_PRICE),
        false => {
            fields.extend(PRICE);
            match has_long_context(typed) {
                true => fields.extend(LONG_CONTEXT),
                false => fields.push(NO_LONG_CONTEXT),
            }
            fields.push(TIERS);
            fields.retain(|(name, _)| !follows_input(typed, name));
        }
    }
    fields
}

/// What nobody has touched of the prices of writing stays in proportion to another price of input.
fn follows_input(typed: &Typed, name: &str) -> bool {
    let input = name.strip_suffix("cache_write_5m").or_else(|| name.strip_suffix("cache_write_1h"));
    input.is_some_and(|path| typed.is_as_shown(name) && !typed.is_as_shown(&format!("{path}input")))
}

fn has_long_context(typed: &Typed) -> bool {
    LONG_CONTEXT.iter().any(|(name, _)| !typed.text(name).is_empty())
}

/// The form of a model as it is.
fn filled(model: &ModelView) -> Form {
    match &model.price {
        None => Form::of(model).with("unpriced", "true"),
        Some(now) => Form::of(model).with("price.tiers", lines(&now.price)),
    }
}

/// The tiers of a price as they are typed.
fn lines(price: &Price) -> String {
    let line = |(name, tier): (&String, &Tier)| match tier {
        Tier::Multiplied { multiplier } => format!("{name} {multiplier}"),
        Tier::Own(rates) => {
            let rates = rates.named().map(|(rate, amount)| format!("{rate} {amount}"));
            format!("{name} {}", rates.join(" "))
        }
    };
    price.tiers.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn ask(visit: &Visit, api: &Api, form: Form) -> Result<Response, Problem> {
    let providers = providers::list(visit.reader()?, State(api.clone())).await?.items;
    let known = latchkey_core::catalogue::known().iter().map(KnownView::from).collect();
    html(&NewModelPage { frame: visit.frame("New model"), providers, known, as_of: AS_OF, form })
}

async fn again(posted: &Posted, api: &Api, id: Uuid, problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    let page = show(&posted.visit, api, id, Some(form)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: Option<Form>) -> Result<Response, Problem> {
    let model = models::read(visit.reader()?, State(api.clone()), Path(id)).await?.0;
    let prices = models::prices(visit.reader()?, State(api.clone()), Path(id)).await?.items;
    let densities = models::density(visit.reader()?, State(api.clone()), Path(id)).await?.items;
    let form = form.unwrap_or_else(|| filled(&model));
    html(&ModelPage { frame: visit.frame(model.name.as_str()), model, prices, densities, form })
}

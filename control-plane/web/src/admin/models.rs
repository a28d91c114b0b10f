//! Models and what they cost.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::body::{JsonBody, PathParams};
use latchkey_api::models::{self, DensityView, KnownView, ModelView, PastPriceView};
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use latchkey_api::upstreams::ModelProtocol;
use latchkey_core::catalogue::AS_OF;
use latchkey_core::price::{Price, Tier};
use uuid::Uuid;

use super::upstreams::{OUTPUT_LIMITS, STREAM_OPTIONS};
use super::{filters, routing_groups};
use crate::form::{Field, FieldKind, FilterForm, FormInput, HtmlForm, IF_MATCH, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::html;
use crate::list::PaginatedList;

const PRICE: &[Field] = &[
    ("price.input", FieldKind::Amount),
    ("price.cached_input", FieldKind::Amount),
    ("price.cache_write_5m", FieldKind::Amount),
    ("price.cache_write_1h", FieldKind::Amount),
    ("price.output", FieldKind::Amount),
];
const LONG_CONTEXT: &[Field] = &[
    ("price.long_context.above", FieldKind::Number),
    ("price.long_context.input", FieldKind::Amount),
    ("price.long_context.cached_input", FieldKind::Amount),
    ("price.long_context.cache_write_5m", FieldKind::Amount),
    ("price.long_context.cache_write_1h", FieldKind::Amount),
    ("price.long_context.output", FieldKind::Amount),
];
/// A long input costs no more: null.
const NO_LONG_CONTEXT: Field = ("price.long_context", FieldKind::Optional);
const TIERS: Field = ("price.tiers", FieldKind::Tiers);
/// No price: null.
const NO_PRICE: Field = ("price", FieldKind::Optional);
const DIALECT: &[Field] = &[("output_limit", FieldKind::Optional), ("stream_options", FieldKind::Choice)];
const SIZES: &[Field] = &[("max_output_tokens", FieldKind::Number), ("context_window", FieldKind::Number)];

/// What a new model costs.
const PRICED: &[(&str, &str, &str)] = &[
    ("catalogue", "From the catalog of well-known models", "No price if it is not listed there."),
    ("own", "Set the price below", ""),
    ("none", "No price", "Apps with a budget cannot use it."),
];

#[derive(Template)]
#[template(path = "admin/models.html")]
struct ModelsPage {
    frame: Frame,
    list: PaginatedList<ModelView>,
    providers: Vec<String>,
}

#[derive(Template)]
#[template(path = "admin/model_new.html")]
struct NewModelPage {
    frame: Frame,
    providers: Vec<String>,
    known: Vec<KnownView>,
    as_of: &'static str,
    form: HtmlForm,
}

#[derive(Template)]
#[template(path = "admin/model.html")]
struct ModelPage {
    frame: Frame,
    model: ModelView,
    prices: Vec<PastPriceView>,
    densities: Vec<DensityView>,
    /// The routing groups that it is a target of, by id.
    groups: Vec<(Uuid, String)>,
    form: HtmlForm,
}

pub async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let list = models::list(visit.reader()?, State(api.clone())).await?;
    let list = PaginatedList::new("/admin/models", &[], list);
    let providers = filters::upstream_names::<ModelProtocol>(&visit, &api).await?;
    html(&ModelsPage { frame: visit.frame("Models and prices"), list, providers })
}

/// Asks for a new one; `name` and `provider` may be chosen already.
pub async fn new(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    visit.admin()?;
    ask(&visit, &api, asked.with("enabled", "true").with("priced", "catalogue").form()).await
}

pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let admin = posted.visit.admin()?;
        let creation = posted.creation(&new_fields(&posted.typed), JsonBody)?;
        models::create(admin, State(api.clone()), creation).await?.into_made()
    };
    let done = |model: ModelView| done(&path(model.id), "Model created.");
    posted.answer(attempt.await, done, |form| ask(&posted.visit, &api, form)).await
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, None).await
}

pub async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let admin = posted.visit.admin()?;
        let shown = match posted.typed.as_shown() {
            Some(shown) => shown,
            None => {
                filled(&models::read(posted.visit.reader()?, State(api.clone()), PathParams(id)).await?.0)
            }
        };
        let typed = posted.typed.clone().over(shown);
        let edit = JsonBody(typed.read(&edit_fields(&typed))?);
        models::update(admin, State(api.clone()), PathParams(id), posted.if_match(), edit).await
    };
    let done = |_| done(&path(id), "Saved and sent to the gateways.");
    posted.answer(edited.await, done, |form| show(&posted.visit, &api, id, Some(form))).await
}

pub async fn delete(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let deleted = models::delete(posted.visit.admin()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done("/admin/models", "Model deleted. Its costs stay in the logs.");
    posted.answer(deleted, done, |form| show(&posted.visit, &api, id, Some(form))).await
}

/// What is left empty is as the catalogue has it.
fn new_fields(typed: &FormInput) -> Vec<Field> {
    let mut fields =
        vec![("name", FieldKind::Text), ("provider", FieldKind::Text), ("enabled", FieldKind::Flag)];
    fields.extend([("upstream_name", FieldKind::Optional), ("priced", FieldKind::Aside)]);
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
fn edit_fields(typed: &FormInput) -> Vec<Field> {
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

fn all_edit_fields(typed: &FormInput) -> Vec<Field> {
    let mut fields = vec![
        ("upstream_name", FieldKind::Text),
        ("enabled", FieldKind::Flag),
        ("unpriced", FieldKind::Aside),
    ];
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
fn follows_input(typed: &FormInput, name: &str) -> bool {
    let input = name.strip_suffix("cache_write_5m").or_else(|| name.strip_suffix("cache_write_1h"));
    input.is_some_and(|path| typed.is_as_shown(name) && !typed.is_as_shown(&format!("{path}input")))
}

fn has_long_context(typed: &FormInput) -> bool {
    LONG_CONTEXT.iter().any(|(name, _)| !typed.text(name).is_empty())
}

/// The form of a model as it is.
fn filled(model: &ModelView) -> HtmlForm {
    match &model.price {
        None => HtmlForm::of(model).with("unpriced", "true"),
        Some(now) => HtmlForm::of(model).with("price.tiers", lines(&now.price)),
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

async fn ask(visit: &Visit, api: &Api, form: HtmlForm) -> Result<Response, Problem> {
    let providers = filters::upstream_names::<ModelProtocol>(visit, api).await?;
    let known = latchkey_core::catalogue::known().iter().map(KnownView::from).collect();
    html(&NewModelPage { frame: visit.frame("Create model"), providers, known, as_of: AS_OF, form })
}

fn path(id: Uuid) -> String {
    format!("/admin/models/{id}")
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: Option<HtmlForm>) -> Result<Response, Problem> {
    let Tagged(model, tag) = models::read(visit.reader()?, State(api.clone()), PathParams(id)).await?;
    let prices = models::prices(visit.reader()?, State(api.clone()), PathParams(id)).await?.items;
    let densities = models::density(visit.reader()?, State(api.clone()), PathParams(id)).await?.items;
    let now = filled(&model).with(IF_MATCH, tag.as_str());
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if form.has("upstream_name") => form.on_top_of(&now),
        Some(form) => now.wrong_as(form),
        None => now,
    };
    let groups =
        routing_groups::of_target(visit, api, model.provider.as_str(), Some(model.name.as_str())).await?;
    html(&ModelPage { frame: visit.frame(model.name.as_str()), model, prices, densities, groups, form })
}

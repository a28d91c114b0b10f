//! The REST API under `/api/v1`.

pub mod access;
pub mod account;
pub mod activity;
pub mod apps;
pub mod attention;
pub mod audit;
pub mod auth;
pub mod body;
pub mod change_requests;
pub mod content;
pub mod detectors;
pub mod document;
pub mod email;
pub mod events;
pub mod explain;
pub mod export;
pub mod findings;
pub mod gateways;
pub mod groups;
pub mod health;
pub mod idempotency;
pub mod identities;
pub mod jwks;
pub mod keys;
pub mod logs;
pub mod mcp_servers;
pub mod mcp_tools;
pub mod metrics;
pub mod models;
pub mod my_apps;
pub mod my_keys;
pub mod oidc;
pub mod pagination;
pub mod precondition;
pub mod problem;
pub mod prompts;
pub mod propagation;
pub mod providers;
pub mod routing_groups;
pub mod scope;
pub mod self_service;
pub mod sign_in;
pub mod simulation;
pub mod tokens;
pub mod upstreams;
pub mod usage;
pub mod users;
pub mod versions;
pub mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use latchkey_core::actor::Actor;
use latchkey_core::mail::MailServer;
use latchkey_core::upstream::Opened;
use latchkey_service::action::Context;
use latchkey_service::gateways::Gateways;
use latchkey_service::metrics::Metrics;
use latchkey_service::sign_in::SignIn;
use latchkey_service::simulation::Simulator;
use latchkey_store::Store;
use latchkey_store::seal::MasterKey;
use latchkey_world::World;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What every handler can reach.
#[derive(Clone)]
pub struct Api {
    /// The database. Pages do not reach it.
    pub(crate) store: Store,
    /// Clock and randomness.
    pub world: World,
    /// What stored secrets are sealed with.
    pub master: MasterKey,
    /// The connected gateways, on every replica.
    pub gateways: Arc<Gateways>,
    /// How long a revocation waits for gateways.
    pub apply_wait: Duration,
    /// What is measured.
    pub metrics: Metrics,
    /// How people come in.
    pub sign_in: Arc<SignIn>,
    /// Where clients find the gateway: without a path, as in `https://llm.example.com`.
    pub gateway_url: Arc<str>,
    /// The private addresses at which providers and MCP servers may be.
    pub opened: Arc<Opened>,
    /// The private addresses to which webhooks may be sent.
    pub opened_to_webhooks: Arc<Opened>,
    /// The server that email is sent by; none where email is not set up.
    pub mail: Option<MailServer>,
    /// Tries changes on past requests.
    pub simulator: Simulator,
}

/// What is set for the API.
pub struct ApiSettings {
    /// How long a revocation waits for gateways.
    pub apply_wait: Duration,
    /// How people come in.
    pub sign_in: Arc<SignIn>,
    /// Where clients find the gateway: without a path, as in `https://llm.example.com`.
    pub gateway_url: Arc<str>,
    /// The private addresses at which providers and MCP servers may be.
    pub opened: Arc<Opened>,
    /// The private addresses to which webhooks may be sent.
    pub opened_to_webhooks: Arc<Opened>,
    /// The server that email is sent by; none where email is not set up.
    pub mail: Option<MailServer>,
}

impl Api {
    #[must_use]
    pub fn new(
        store: Store,
        world: World,
        master: MasterKey,
        gateways: Arc<Gateways>,
        settings: ApiSettings,
    ) -> Self {
        let ApiSettings { apply_wait, sign_in, gateway_url, opened, opened_to_webhooks, mail } = settings;
        let (metrics, simulator) = (Metrics::new(), Simulator::default());
        Self {
            store,
            world,
            master,
            gateways,
            apply_wait,
            metrics,
            sign_in,
            gateway_url,
            opened,
            opened_to_webhooks,
            mail,
            simulator,
        }
    }

    /// What actions are given.
    #[must_use]
    pub fn context<'a>(&'a self, actor: &'a Actor) -> Context<'a> {
        Context { actor, world: &self.world, master: &self.master }
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Latchkey",
    description = "Self-service API keys for an LLM gateway. Errors are problem details (RFC 9457) with a \
                       stable `code`. Creations take an `Idempotency-Key`. Lists are paged by `cursor`.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// What is explained may be as large as what gateways take, 16 MiB, and has its question around it.
const EXPLAINED: usize = 17 << 20;

/// What an app's own categories may be sent in, with 10,000 values of 100 characters.
pub const LARGEST_LISTS: usize = 5 << 20;

/// The routes that take an app's own categories.
fn with_lists() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(content::categories, content::set_categories))
        .routes(routes!(content::preview_categories))
        .routes(routes!(change_requests::draft::preview))
        .routes(routes!(change_requests::mine::submit))
        .layer(DefaultBodyLimit::max(LARGEST_LISTS))
}

/// Every route, with its documentation.
fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::read, apps::update, apps::delete))
        .routes(routes!(apps::propagation))
        .routes(routes!(apps::activate))
        .routes(routes!(apps::deactivate))
        .routes(routes!(apps::revoke))
        .routes(routes!(apps::rotate))
        .routes(routes!(apps::value))
        .routes(routes!(versions::list))
        .routes(routes!(versions::read))
        .routes(routes!(versions::rollback))
        .routes(routes!(simulation::of_edit))
        .routes(routes!(simulation::of_rollback))
        .merge(OpenApiRouter::new().routes(routes!(explain::explain)).layer(DefaultBodyLimit::max(EXPLAINED)))
        .merge(with_lists())
        .routes(routes!(prompts::list, prompts::create))
        .routes(routes!(prompts::read, prompts::delete))
        .routes(routes!(prompts::create_version))
        .routes(routes!(prompts::set_label, prompts::delete_label))
        .routes(routes!(change_requests::list))
        .routes(routes!(change_requests::of_app))
        .routes(routes!(change_requests::read))
        .routes(routes!(change_requests::approve))
        .routes(routes!(change_requests::reject))
        .routes(routes!(change_requests::trial::start, change_requests::trial::end))
        .routes(routes!(simulation::of_request))
        .routes(routes!(change_requests::draft::settings))
        .routes(routes!(change_requests::mine::list))
        .routes(routes!(change_requests::mine::read))
        .routes(routes!(change_requests::mine::withdraw))
        .routes(routes!(keys::all))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::read, keys::update))
        .routes(routes!(keys::activate))
        .routes(routes!(keys::deactivate))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::value))
        .routes(routes!(self_service::read, self_service::update))
        .routes(routes!(self_service::preview))
        .routes(routes!(access::explain))
        .routes(routes!(access::people))
        .routes(routes!(groups::list, groups::create))
        .routes(routes!(groups::read, groups::update, groups::delete))
        .routes(routes!(groups::members, groups::add_members))
        .routes(routes!(groups::add_member, groups::remove_member))
        .routes(routes!(groups::uses))
        .routes(routes!(my_apps::list))
        .routes(routes!(my_apps::read))
        .routes(routes!(my_apps::value))
        .routes(routes!(my_keys::without_access))
        .routes(routes!(my_keys::list, my_keys::create))
        .routes(routes!(my_keys::read, my_keys::update))
        .routes(routes!(my_keys::rotate))
        .routes(routes!(my_keys::revoke))
        .routes(routes!(my_keys::value))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::read, users::update))
        .routes(routes!(users::deactivate))
        .routes(routes!(users::reactivate))
        .routes(routes!(users::invite))
        .routes(routes!(users::unlink))
        .routes(routes!(identities::unlink_all))
        .routes(routes!(users::sessions))
        .routes(routes!(users::end_sessions))
        .routes(routes!(users::keys))
        .routes(routes!(users::revoke_keys))
        .routes(routes!(users::groups))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::bind))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(sign_in::accept))
        .routes(routes!(account::me))
        .routes(routes!(account::password))
        .routes(routes!(account::sessions))
        .routes(routes!(account::end_session))
        .routes(routes!(account::tokens, account::create_token))
        .routes(routes!(account::revoke_token))
        .routes(routes!(email::mine, email::update_mine))
        .routes(routes!(email::test))
        .routes(routes!(providers::list, providers::create))
        .routes(routes!(providers::read, providers::update, providers::delete))
        .routes(routes!(mcp_servers::list, mcp_servers::create))
        .routes(routes!(mcp_servers::read, mcp_servers::update, mcp_servers::delete))
        .routes(routes!(mcp_tools::list))
        .routes(routes!(mcp_tools::approve_all))
        .routes(routes!(mcp_tools::approve))
        .routes(routes!(mcp_tools::reject))
        .routes(routes!(mcp_tools::forget))
        .routes(routes!(routing_groups::list, routing_groups::create))
        .routes(routes!(routing_groups::read, routing_groups::update, routing_groups::delete))
        .routes(routes!(detectors::list, detectors::create))
        .routes(routes!(detectors::read, detectors::update, detectors::delete))
        .routes(routes!(models::list, models::create))
        .routes(routes!(models::read, models::update, models::delete))
        .routes(routes!(models::prices))
        .routes(routes!(models::density))
        .routes(routes!(models::catalogue))
        .routes(routes!(jwks::list))
        .routes(routes!(gateways::list))
        .routes(routes!(gateways::forget))
        .routes(routes!(gateways::lost))
        .routes(routes!(gateways::write_off))
        .routes(routes!(logs::list))
        .routes(routes!(logs::export))
        .routes(routes!(findings::list))
        .routes(routes!(findings::export))
        .routes(routes!(findings::summary))
        .routes(routes!(usage::read))
        .routes(routes!(usage::export))
        .routes(routes!(events::list))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::read, webhooks::update, webhooks::delete))
        .routes(routes!(webhooks::rotate_secret))
        .routes(routes!(webhooks::deliveries::test))
        .routes(routes!(webhooks::deliveries::list))
        .routes(routes!(webhooks::deliveries::read))
        .routes(routes!(webhooks::deliveries::replay_one))
        .routes(routes!(webhooks::deliveries::replay))
        .routes(routes!(email::status))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(logs::list_mine))
        .routes(routes!(logs::list_of_my_app))
        .routes(routes!(logs::export_of_my_app))
        .routes(routes!(findings::list_mine))
        .routes(routes!(findings::list_of_my_app))
        .routes(routes!(findings::export_of_my_app))
        .routes(routes!(findings::summary_of_my_app))
        .routes(routes!(usage::read_mine))
        .routes(routes!(usage::read_of_my_app))
        .routes(routes!(usage::export_of_my_app))
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().1
}

/// The routes, and the OpenAPI document.
pub fn routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = documented().split_for_parts();
    document::finish(&mut document);
    (routes, document)
}

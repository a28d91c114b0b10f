//! The running control plane: two listeners and a few jobs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;
use latchkey_api::{Api, ApiSettings};
use latchkey_core::content::refuse_unaffordable;
use latchkey_core::identity::jwks_network::JwksNetworkPolicy;
use latchkey_core::invalid::Invalid;
use latchkey_core::settings::AppSettings;
use latchkey_core::upstream::Opened;
use latchkey_discovery::ads::Statuses;
use latchkey_discovery::registry::Registry;
use latchkey_discovery::session::Settings;
use latchkey_ledger::metrics::LedgerMetrics;
use latchkey_ledger::{Ledger, calibration, notices, retention};
use latchkey_service::action::webhooks::messages::Mailing;
use latchkey_service::gateways::Gateways;
use latchkey_service::tokens::GatewayTokens;
use latchkey_store::Store;
use latchkey_store::apps::{App, AppFilter, AppOrder};
use latchkey_store::seal::MasterKey;
use latchkey_store::upstreams::{DetectorProtocol, McpProtocol, ModelProtocol, Protocol, Upstream};
use latchkey_world::World;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::config::Serve;
use crate::feed::Feed;
use crate::jwks::Jwks;
use crate::jwks::fetch::Fetcher;
use crate::leases::stopped;
use crate::listen::connection_limit::ConnectionLimit;
use crate::listen::{self, Bounds};
use crate::mail::Mailer;
use crate::mail::settings::MailSettings;
use crate::router;
use crate::webhooks::Deliverer;

/// How long open connections may take to end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How many revisions are kept for gateways to resume from.
const KEPT_REVISIONS: i64 = 1_000_000;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// An address that cannot be listened on or must not be served in plaintext, a certificate that
/// does not read, a database that is away.
pub async fn serve(options: Serve, store: Store, master: MasterKey, world: World) -> anyhow::Result<()> {
    let tls = identity(&options).await?;
    refuse_plaintext("LATCHKEY_HTTP_ADDR", options.http_addr, options.allow_plaintext)?;
    refuse_plaintext("LATCHKEY_GRPC_ADDR", options.grpc_addr, options.allow_plaintext || tls.is_some())?;
    let sign_in = Arc::new(options.sign_in(&world)?);
    let mail = options.smtp.settings(options.allow_plaintext)?;
    if mail.is_some() && options.public_url.is_none() {
        anyhow::bail!("LATCHKEY_SMTP_URL requires LATCHKEY_PUBLIC_URL, for links in email");
    }
    let http = listen(options.http_addr).await?;
    let grpc = listen(options.grpc_addr).await?;

    let opened = Arc::new(Opened::new(options.upstream_allow));
    let opened_to_webhooks = Arc::new(Opened::new(options.webhook_allow));
    let feed = Feed::open(store.clone(), master.clone(), options.ca_bundle, (*opened).clone()).await?;
    let feed = Arc::new(feed);
    warn_of_upstreams(&store, &opened).await?;
    let (stop, stopping) = watch::channel(false);
    let ack_timeout = Duration::from_millis(options.ack_timeout_ms);
    let (registry, clusters) = (Registry::recorded(), Statuses::default());
    let tokens = Arc::new(GatewayTokens::new(store.clone(), world.clone()));
    let settings = Settings { ack_timeout, ..Settings::default() };
    let discovery = latchkey_discovery::server::Server::new(
        Arc::clone(&feed),
        Arc::clone(&tokens),
        registry.clone(),
        settings,
        stopping.clone(),
    );
    let Ledger { server: ledger, book, sightings, streams: ledgers, presence, stats, suspects } =
        Ledger::new(store.clone(), world.clone(), Arc::clone(&tokens), stopping.clone());
    let ads =
        latchkey_discovery::ads::Server::new(Arc::clone(&feed), tokens, clusters.clone(), stopping.clone());
    let gone_after = Duration::from_secs(options.gateway_gone_seconds.into());
    let gateways = Gateways::new(registry, clusters, store.clone(), world.clone(), gone_after);
    let gateways = Arc::new(gateways);
    let settings = ApiSettings {
        apply_wait: Duration::from_millis(options.apply_wait_ms),
        sign_in,
        gateway_url: options.gateway_url.origin().into(),
        opened,
        opened_to_webhooks: Arc::clone(&opened_to_webhooks),
        mail: mail.as_ref().map(MailSettings::shown),
    };
    let api = Api::new(store.clone(), world.clone(), master.clone(), Arc::clone(&gateways), settings);

    let mailer =
        mail.map(|mail| Mailer::new(store.clone(), world.clone(), mail, &api.sign_in.public_url.origin()));
    let mailer = mailer.transpose()?;

    api.metrics.register(|registry| registry.register_collector(Box::new(LedgerMetrics(stats))));

    let reach = JwksNetworkPolicy {
        private: options.jwks_allow_private,
        // Development: whoever serves others is found under a name, though it may listen behind a proxy here.
        loopback: options.jwks_allow_private
            || (options.http_addr.ip().is_loopback() && api.sign_in.public_url.is_loopback()),
    };
    let fetcher = Fetcher::new(reach);

    let mut jobs = JoinSet::new();
    match fetcher.map(|fetcher| Jwks::new(store.clone(), world.clone(), fetcher, suspects)) {
        Ok(jwks) => drop(jobs.spawn(async move { jwks.keep().await })),
        Err(error) => tracing::warn!(error = format!("{error:#}"), "JWK sets are not fetched"),
    }
    let (delivering, delivered) = oneshot::channel::<()>();
    let mailing = if mailer.is_some() { Mailing::On } else { Mailing::Off };
    match Deliverer::new(store.clone(), world.clone(), master, opened_to_webhooks) {
        Ok(deliverer) => {
            let deliverer = deliverer.mailing(mailing);
            let stopping = stopping.clone();
            jobs.spawn(async move {
                deliverer.keep(stopping).await;
                // A job that ends by itself ends the process.
                drop(delivering);
                std::future::pending::<()>().await;
            });
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "webhooks are not sent");
            drop(delivering);
        }
    }
    let (sending, sent) = oneshot::channel::<()>();
    if let Some(mailer) = mailer {
        let stopping = stopping.clone();
        jobs.spawn(async move {
            mailer.keep(stopping).await;
            drop(sending);
            std::future::pending::<()>().await;
        });
    } else {
        drop(sending);
    }
    jobs.spawn(async move { feed.follow().await });
    let connected = Arc::clone(&gateways);
    jobs.spawn(presence.follow(ledgers.clone(), async move || connected.instances().await));
    let told = Arc::clone(&gateways);
    jobs.spawn(async move { told.tell().await });
    jobs.spawn(async move { gateways.share().await });
    jobs.spawn(book.keep());
    jobs.spawn(sightings.keep());
    jobs.spawn(calibration::keep_calibrated(store.clone(), world.clone()));
    jobs.spawn(retention::keep_tidy(store.clone(), world.clone(), ledgers, options.record_retention_days));
    jobs.spawn(notices::keep_noticing(store.clone(), world.clone()));
    jobs.spawn(tidy(store.clone(), world));
    let warning = tokio::spawn(warn_of_slow_categories(store.clone()));

    tracing::info!(http = %options.http_addr, grpc = %options.grpc_addr, tls = tls.is_some(), "serving");
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .layer(listen::streams::Admit);
    if let Some(identity) = tls {
        server =
            server.tls_config(ServerTlsConfig::new().identity(identity)).context("the TLS certificate")?;
    }
    let bounds = Bounds::of_this_process();
    let grpc =
        listen::streams::incoming(grpc, ConnectionLimit::new(bounds.streams), listen::streams::OPENING);
    let streams = server
        .add_service(discovery.into_service())
        .add_service(ads.into_service())
        .add_service(ledger.into_service())
        .serve_with_incoming_shutdown(grpc, stopped(stopping.clone()));
    let deadline = stopping.clone();
    let api = listen::http::serve(
        http,
        router::router(api),
        ConnectionLimit::new(bounds.http),
        listen::http::HEAD,
        stopping,
    );
    let signals = async {
        wait_for_signal().await?;
        tracing::info!("stopping");
        stop.send_replace(true);
        anyhow::Ok(())
    };
    let servers = async {
        tokio::try_join!(
            async { streams.await.context("the gateways' streams") },
            async {
                api.await;
                anyhow::Ok(())
            },
            signals,
        )
        .map(|_| ())
    };
    // A peer that no longer answers does not hold the end up.
    let outcome = tokio::select! {
        outcome = servers => outcome,
        _ = jobs.join_next() => Err(anyhow::anyhow!("a background job has ended; see the log")),
        () = async { stopped(deadline).await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
    };
    stop.send_replace(true);
    // What is on its way to webhooks and people ends, or is given back.
    let _in_time = tokio::time::timeout(LAST_WORDS, async { tokio::join!(delivered, sent) }).await;
    jobs.shutdown().await;
    warning.abort();
    store.close().await;
    outcome
}

async fn identity(options: &Serve) -> anyhow::Result<Option<Identity>> {
    let (Some(cert), Some(key)) = (&options.grpc_tls_cert, &options.grpc_tls_key) else { return Ok(None) };
    let read = async |path: &PathBuf| {
        tokio::fs::read(path).await.with_context(|| format!("could not read {}", path.display()))
    };
    Ok(Some(Identity::from_pem(read(cert).await?, read(key).await?)))
}

fn refuse_plaintext(setting: &str, address: SocketAddr, allowed: bool) -> anyhow::Result<()> {
    if address.ip().is_loopback() || allowed {
        return Ok(());
    }
    anyhow::bail!(
        "{setting}={address} would send keys over the network in plaintext: set LATCHKEY_GRPC_TLS_CERT and \
         LATCHKEY_GRPC_TLS_KEY for gateway connections, put a TLS proxy in front of the API, and set \
         LATCHKEY_ALLOW_PLAINTEXT=true if something else encrypts the traffic"
    )
}

/// Says of which providers, MCP servers and detectors no more is to be had: they are there since before this was asked.
async fn warn_of_upstreams(store: &Store, opened: &Opened) -> anyhow::Result<()> {
    warn_of_upstreams_with::<ModelProtocol>(store, opened).await?;
    warn_of_upstreams_with::<McpProtocol>(store, opened).await?;
    warn_of_upstreams_with::<DetectorProtocol>(store, opened).await
}

async fn warn_of_upstreams_with<P: Protocol>(store: &Store, opened: &Opened) -> anyhow::Result<()> {
    let upstreams = store.upstreams::<P>().await?;
    for Upstream { name, address, .. } in
        upstreams.into_iter().filter(|it| it.enabled && it.cluster.is_none())
    {
        if let Err(reason) = opened.check(&address.host) {
            tracing::error!(%name, %reason, "gateways refuse the requests for a {}", P::NOUN);
        }
    }
    Ok(())
}

/// Says which apps' own categories cost gateways too much: they are there since before this was asked, and stay.
async fn warn_of_slow_categories(store: Store) {
    let mut filter = AppFilter::default();
    loop {
        let apps = match store.apps(&filter, AppOrder::Oldest, 100).await {
            Ok(apps) => apps,
            Err(error) => return tracing::warn!(%error, "could not check the apps' custom categories"),
        };
        let Some(last) = apps.last() else { return };
        filter.after = Some(last.id);
        for App { id, settings, .. } in apps {
            let check = move || refuse_unaffordable(&AppSettings::default(), &settings);
            let errors = match tokio::task::spawn_blocking(check).await {
                Ok(Err(Invalid(errors))) => errors,
                Ok(Ok(())) | Err(_) => continue,
            };
            for error in errors {
                tracing::warn!(app = %id, %error, "custom categories slow gateways down: simplify them");
            }
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Forgets what is no longer needed, every hour.
async fn tidy(store: Store, world: World) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        let yesterday = world.now().saturating_sub(SignedDuration::from_hours(24));
        let done = async {
            store.forget_answers(yesterday.unwrap_or(jiff::Timestamp::UNIX_EPOCH)).await?;
            store.forget_sign_ins(world.now()).await?;
            store.forget_revisions(KEPT_REVISIONS).await
        };
        if let Err(error) = done.await {
            tracing::warn!(%error, "could not tidy the database");
        }
    }
}

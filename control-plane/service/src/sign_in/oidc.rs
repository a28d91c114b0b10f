//! Sign-in by OpenID Connect: authorization code with PKCE, state and nonce.

mod profile;
mod provider;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::local_path::LocalPath;
use latchkey_store::identities::SignInIdentity;
use latchkey_store::seal::{MasterKey, Purpose};
use latchkey_world::World;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdTokenClaims, IdTokenFields, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardErrorResponse,
    StandardTokenResponse, SubjectIdentifier, TokenResponse as _, UserInfoClaims, UserInfoError,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{PublicUrl, secret};
use crate::outbound::Outbound;
use crate::refusal::Refusal;
use profile::{Claims, ProviderClaims};
use provider::Provider;

pub use profile::Profile;

/// How long a sign-in may take.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// The path that the provider sends browsers back to.
pub const CALLBACK: &str = "/auth/oidc/callback";

/// The OpenID provider.
#[derive(Debug)]
pub struct Oidc {
    settings: Settings,
    http: Outbound,
    provider: Provider,
}

/// What is configured of the provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its URL, as its metadata has it.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// By which it knows us.
    pub client_secret: Option<SecretString>,
    /// What we ask for.
    pub scopes: Vec<String>,
    /// The claim that names the groups of a person.
    pub groups_claim: Option<String>,
    /// The email domains that may sign in; empty for all.
    pub domains: Vec<String>,
    /// Whether people who are not known yet become users.
    pub create_users: bool,
    /// Whether an address counts as verified of which the provider does not say whether it is.
    pub trust_email: bool,
}

/// A browser on its way to the provider.
#[derive(Debug)]
pub struct AuthorizationRedirect {
    /// Where it goes.
    pub to: Url,
    /// The value of its cookie, by which it is known when it comes back.
    pub pending: SecretString,
}

/// What the provider sends back through the browser.
#[derive(Clone, Debug, Deserialize)]
pub struct Callback {
    code: Option<SecretString>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// A sign-in under way, sealed in its browser's cookie.
#[derive(Serialize, Deserialize)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
    expires_at_ms: i64,
}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type Party = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What ID tokens may be signed with: never with our own secret, never with nothing.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

impl Oidc {
    /// Asks the provider nothing yet.
    ///
    /// # Errors
    /// This machine has no certificate authorities.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        Ok(Self { settings, http: Outbound::new()?, provider: Provider::default() })
    }

    /// What is configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a browser to the provider.
    ///
    /// # Errors
    /// The provider is away.
    pub async fn begin(
        &self,
        world: &World,
        master: &MasterKey,
        public_url: &PublicUrl,
        return_to: &LocalPath,
    ) -> Result<AuthorizationRedirect, Refusal> {
        let party = self.party(world, public_url).await?;
        let random = || secret(world).expose_secret().to_owned();
        let pending = Pending {
            state: random(),
            nonce: random(),
            verifier: random(),
            return_to: return_to.as_str().to_owned(),
            expires_at_ms: world.now().as_millisecond() + PATIENCE.as_secs() * 1000,
        };
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(pending.verifier.clone()));
        let (state, nonce) = (pending.state.clone(), pending.nonce.clone());
        let scopes = self.settings.scopes.iter().filter(|scope| *scope != "openid");
        let (to, _, _) = party
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(scopes.map(|scope| Scope::new(scope.clone())))
            .set_pkce_challenge(challenge)
            .url();
        Ok(AuthorizationRedirect { to, pending: pending.seal(world, master) })
    }

    /// Receives a browser that comes back, and says who it is and where it was going.
    ///
    /// # Errors
    /// It is not the browser that left, the provider refused, is away, or says what does not hold.
    pub async fn finish(
        &self,
        world: &World,
        master: &MasterKey,
        public_url: &PublicUrl,
        pending: Option<SecretString>,
        callback: Callback,
    ) -> Result<(Profile, LocalPath), Refusal> {
        let pending = pending.and_then(|pending| Pending::open(&pending, master, world.now()));
        let pending = pending.ok_or_else(begin_again)?;
        let state = callback.state.unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(pending.state.as_bytes())) {
            return Err(begin_again());
        }
        if callback.iss.is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(refused("the answer comes from another provider"));
        }
        if let Some(error) = callback.error {
            tracing::info!(error = %error.escape_debug(), "the OpenID provider refused a sign-in");
            return Err(refused("the OpenID provider did not sign you in"));
        }
        let code = callback.code.ok_or_else(begin_again)?;
        let tokens = self.tokens(world, public_url, &code, &pending).await?;
        let profile = self.profile(world, public_url, &tokens, Nonce::new(pending.nonce)).await?;
        Ok((profile, LocalPath::try_from(pending.return_to.as_str()).unwrap_or_else(|_| LocalPath::home())))
    }

    async fn tokens(
        &self,
        world: &World,
        public_url: &PublicUrl,
        code: &SecretString,
        pending: &Pending,
    ) -> Result<Tokens, Refusal> {
        let party = self.party(world, public_url).await?;
        let exchange = party
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .map_err(|error| away(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()));
        exchange.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer) => {
                tracing::info!(error = %answer.error().as_ref(), "the OpenID provider refused a code");
                refused("the OpenID provider refused the code, which works once")
            }
            error => away(&error),
        })
    }

    async fn profile(
        &self,
        world: &World,
        public_url: &PublicUrl,
        tokens: &Tokens,
        nonce: Nonce,
    ) -> Result<Profile, Refusal> {
        let token = tokens.id_token().ok_or_else(|| refused("the OpenID provider sent no ID token"))?;
        let verified = |party: Party| {
            // Others may be meant beside us, as Zitadel has it: see `is_for`.
            let verifier = party.id_token_verifier().set_allowed_algs(ALGORITHMS);
            let verifier = verifier.set_other_audience_verifier_fn(|_| true);
            token.claims(&verifier, &nonce).cloned()
        };
        let mut claims = verified(self.party(world, public_url).await?);
        if claims.is_err() && self.provider.may_have_new_keys(world.now()).await {
            claims = verified(self.party(world, public_url).await?);
        }
        let claims: IdTokenClaims<Claims, CoreGenderClaim> = claims.map_err(|error| {
            tracing::warn!(%error, "an ID token does not hold");
            refused("the OpenID provider's ID token does not hold")
        })?;
        if !is_for(&self.settings.client_id, &claims) {
            tracing::warn!("an ID token was issued to another client");
            return Err(refused("the OpenID provider's ID token was issued to another client"));
        }
        let subject = claims.subject().clone();
        if subject.chars().any(char::is_control) {
            return Err(refused("the OpenID provider's name for you is no text"));
        }
        let identity = SignInIdentity { issuer: self.settings.issuer.clone(), subject: subject.to_string() };
        let claim = self.settings.groups_claim.as_deref();
        let said = ProviderClaims::in_token(&claims, claim);
        let said = if said.is_settled() {
            said
        } else {
            match self.userinfo(world, public_url, tokens, subject).await {
                Ok(None) => said,
                Ok(Some(info)) => said.or(ProviderClaims::in_userinfo(&info, claim)),
                // Names and groups are no reason to turn somebody away.
                Err(Refusal::Unavailable { .. })
                    if said.address.judged(self.settings.trust_email).is_ok() =>
                {
                    tracing::warn!(
                        "userinfo is away: what the ID token says of a person is all that is known"
                    );
                    said
                }
                Err(refusal) => return Err(refusal),
            }
        };
        Ok(said.profile(identity, self.settings.trust_email))
    }

    /// What the provider says of this person beside the ID token; none where it has no such endpoint.
    async fn userinfo(
        &self,
        world: &World,
        public_url: &PublicUrl,
        tokens: &Tokens,
        subject: SubjectIdentifier,
    ) -> Result<Option<UserInfoClaims<Claims, CoreGenderClaim>>, Refusal> {
        let party = self.party(world, public_url).await?;
        let Ok(request) = party.user_info(tokens.access_token().clone(), Some(subject)) else {
            return Ok(None);
        };
        let info = request.request_async(&self.http).await.map_err(|error| match error {
            UserInfoError::ClaimsVerification(_) => refused("the OpenID provider names someone else"),
            error => away(&error),
        })?;
        Ok(Some(info))
    }

    async fn party(&self, world: &World, public_url: &PublicUrl) -> Result<Party, Refusal> {
        let metadata = self.provider.metadata(&self.settings.issuer, &self.http, world.now()).await;
        let metadata: CoreProviderMetadata = metadata.map_err(|error| away(&*error))?;
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let id = ClientId::new(self.settings.client_id.clone());
        let redirect = RedirectUrl::new(public_url.at(CALLBACK)).map_err(|error| away(&error))?;
        Ok(Party::from_provider_metadata(metadata, id, secret).set_redirect_uri(redirect))
    }
}

impl Pending {
    fn seal(&self, world: &World, master: &MasterKey) -> SecretString {
        let json = serde_json::to_vec(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(master.seal(world, Purpose::SignIn, &json)).into()
    }

    fn open(cookie: &SecretString, master: &MasterKey, now: Timestamp) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie.expose_secret()).ok()?;
        let json = master.open(Purpose::SignIn, &sealed).ok()?;
        let pending: Self = serde_json::from_str(json.expose_secret()).ok()?;
        (pending.expires_at_ms > now.as_millisecond()).then_some(pending)
    }
}

/// Whether a token that names us among its audiences was issued to us (OpenID Connect Core, 3.1.3.7): `azp` says
/// so, and must be there where there are several.
fn is_for(client_id: &str, claims: &IdTokenClaims<Claims, CoreGenderClaim>) -> bool {
    match claims.authorized_party() {
        Some(party) => party.as_str() == client_id,
        None => claims.audiences().len() == 1,
    }
}

fn refused(detail: &str) -> Refusal {
    Refusal::Unrecognised {
        code: "sign_in_refused",
        detail: format!("{detail}: start again from the sign-in page"),
    }
}

fn begin_again() -> Refusal {
    let detail = "this sign-in was started in another browser, took too long, or has already finished: start again \
         from the sign-in page";
    Refusal::Unrecognised { code: "sign_in_expired", detail: detail.to_owned() }
}

/// The log says why; the answer does not.
fn away(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let cause = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    tracing::warn!(cause, "the OpenID provider is away or answers what it should not");
    let detail = "the OpenID provider did not respond correctly: try again in a moment";
    Refusal::Unavailable { code: "identity_provider_unavailable", detail: detail.to_owned() }
}

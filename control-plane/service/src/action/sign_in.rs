//! Signing in: by password, by invitation, and by the OpenID provider.

pub mod attempt;

use latchkey_core::name::{Email, Name};
use latchkey_core::profile::address::Doubt;
use latchkey_core::role::Role;
use latchkey_store::identities::LinkedIdentity;
use latchkey_store::sessions::Method;
use latchkey_store::users::User;
use latchkey_store::{Store, Tx};
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::sessions::{self, SignInClient, StartedSession};
use super::{By, Refusal, groups, invitations, passwords, taken, users};
use crate::sign_in::SignIn;
use crate::sign_in::oidc::{Profile, Settings};
use attempt::SignInAttempt;

/// Where someone comes in: each way takes transactions of its own, because what failed is kept.
#[derive(Clone, Copy, Debug)]
pub struct SignInContext<'a> {
    pub store: &'a Store,
    pub world: &'a World,
    pub sign_in: &'a SignIn,
    pub client: &'a SignInClient,
}

/// Signs in by email address and password. Whether there is such a user, and whether they have a
/// password, changes neither the answer nor its time.
///
/// # Errors
/// It is another password or no user's address, or there were too many attempts.
pub async fn by_password(
    context: SignInContext<'_>,
    email: &str,
    password: SecretString,
) -> Result<StartedSession, Refusal> {
    let attempt = SignInAttempt::admit(context, email).await?;
    let account = match Email::stored(email.to_owned()) {
        Ok(email) => context.store.account_at(&email).await?,
        Err(_) => None,
    };
    let active = account.as_ref().filter(|account| account.user.is_active());
    let hash = active.and_then(|account| account.password_hash.clone());
    let right = context.sign_in.passwords.verify(hash.clone(), password).await?;
    let mut tx = context.store.begin().await?;
    let user = match &account {
        Some(account) => tx.user_to_change(account.user.id).await?.filter(User::is_active),
        None => None,
    };
    if let (true, Some(user)) = (right, user)
        && unchanged(tx.password_hash(user.id).await?, hash)
    {
        attempt.succeeded(&mut tx).await?;
        return begin(context, tx, user, Method::Password).await;
    }
    let user = account.as_ref().map(|account| &account.user);
    let reason = match user {
        Some(user) if user.is_active() => "wrong_password",
        Some(_) => "deactivated",
        None => "unknown_user",
    };
    sessions::failed(&mut tx, context.world, context.client, user, reason);
    tx.commit().await?;
    let detail = "the email address or password is incorrect".to_owned();
    Err(Refusal::Unrecognised { code: "wrong_credentials", detail })
}

/// Sets the password that an invitation is for, ends all earlier sessions, and signs in.
///
/// # Errors
/// The invitation cannot be used, or the password is refused, which leaves the invitation as it is.
pub async fn by_invitation(
    context: SignInContext<'_>,
    token: &SecretString,
    password: SecretString,
) -> Result<StartedSession, Refusal> {
    let hash = crate::tokens::hash(token.expose_secret());
    let now = context.world.now();
    let invited = context.store.invited(&hash, now).await?.ok_or_else(invitations::unusable)?;
    let user =
        context.store.user(invited).await?.filter(User::is_active).ok_or_else(invitations::unusable)?;
    passwords::fit(&password, &user, "password")?;
    let password = context.sign_in.passwords.hash(context.world, password).await?;
    let mut tx = context.store.begin().await?;
    let user = tx.user_to_change(user.id).await?.filter(User::is_active);
    let user = user.ok_or_else(invitations::unusable)?;
    if tx.use_invitation(&hash, now).await? != Some(user.id) {
        return Err(invitations::unusable());
    }
    attempt::forget(&mut tx, user.email.as_str()).await?;
    let actor = context.client.known(&user, Uuid::nil());
    let by = By { actor: &actor, world: context.world };
    passwords::set(&mut tx, by, &user, password, None).await?;
    begin(context, tx, user, Method::Invitation).await
}

/// Signs in whom the OpenID provider vouches for: the user linked to that identity, else the one
/// with the verified address, who is linked then, else a new one.
///
/// # Errors
/// There is no such user and none is made, they are deactivated, or their address is not verified.
pub async fn by_oidc(
    context: SignInContext<'_>,
    settings: &Settings,
    profile: Profile,
) -> Result<StartedSession, Refusal> {
    let mut tx = context.store.begin().await?;
    match recognise(&mut tx, context, settings, &profile).await? {
        Ok(user) => {
            follow_groups(&mut tx, context, settings, &user, &profile).await?;
            begin(context, tx, user, Method::Oidc).await
        }
        Err(Failure { code, detail, user }) => {
            sessions::failed(&mut tx, context.world, context.client, user.as_deref(), code);
            tx.commit().await?;
            Err(Refusal::Forbidden { code, detail: detail.to_owned() })
        }
    }
}

/// Follows what the provider states of the user's groups. Where it states nothing they stay as they are.
async fn follow_groups(
    tx: &mut Tx,
    context: SignInContext<'_>,
    settings: &Settings,
    user: &User,
    profile: &Profile,
) -> Result<(), Refusal> {
    let actor = context.client.known(user, Uuid::nil());
    let by = By { actor: &actor, world: context.world };
    match &profile.groups {
        None => {}
        Some(Ok(stated)) => drop(groups::replace_claimed(tx, by, user.id, stated).await?),
        Some(Err(why)) => {
            let claim = settings.groups_claim.as_deref().unwrap_or_default();
            tracing::warn!(
                user = user.email.as_str(),
                claim,
                reason = why.as_str(),
                "the OpenID provider does not state a user's groups ({why}): they stay as they are"
            );
            let data = json!({ "claim": claim, "reason": why.as_str() });
            by.audit(tx, AuditedAction { action: "user.groups_unstated", ..users::done(user, data) });
        }
    }
    Ok(())
}

/// Why someone whom the provider vouches for does not come in.
struct Failure {
    code: &'static str,
    detail: &'static str,
    user: Option<Box<User>>,
}

impl Failure {
    fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail, user: None }
    }
}

impl From<Doubt> for Failure {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Absent => Self::new(
                "email_missing",
                "the sign-in provider did not send your email address: ask an owner to have the provider \
                 send the claim `email`",
            ),
            Doubt::Unreadable => Self::new(
                "email_invalid",
                "the sign-in provider sent an invalid email address for you: ask an owner to have it \
                 corrected there",
            ),
            Doubt::Unsaid => Self::new(
                "email_not_verified",
                "the sign-in provider does not say whether your email address is verified: ask an owner \
                 (LATCHKEY_OIDC_TRUST_EMAIL trusts the provider's addresses)",
            ),
            Doubt::Denied => Self::new(
                "email_not_verified",
                "the sign-in provider says that your email address is not verified: verify it there, then \
                 sign in again",
            ),
        }
    }
}

async fn recognise(
    tx: &mut Tx,
    context: SignInContext<'_>,
    settings: &Settings,
    profile: &Profile,
) -> Result<Result<User, Failure>, Refusal> {
    if let Err(failure) = check_domain(settings, profile) {
        return Ok(Err(failure));
    }
    let linked = tx.user_of_identity(&profile.identity).await?;
    let user = match linked {
        Some(id) => tx.user_to_change(id).await?.ok_or(Refusal::NotFound("user"))?,
        None => match meet(tx, context, settings, profile).await? {
            Ok(user) => user,
            Err(failure) => return Ok(Err(failure)),
        },
    };
    if !user.is_active() {
        let detail = "this account is deactivated: ask an owner";
        return Ok(Err(Failure { user: Some(Box::new(user)), ..Failure::new("deactivated", detail) }));
    }
    if linked.is_none() {
        link(tx, context, &user, profile).await?;
    }
    Ok(Ok(user))
}

/// Finds or makes the user of someone who was never here.
async fn meet(
    tx: &mut Tx,
    context: SignInContext<'_>,
    settings: &Settings,
    profile: &Profile,
) -> Result<Result<User, Failure>, Refusal> {
    let email = match &profile.address {
        Ok(email) => email,
        Err(doubt) => return Ok(Err((*doubt).into())),
    };
    if let Some(id) = tx.user_at(email).await? {
        let user = tx.user_to_change(id).await?.ok_or(Refusal::NotFound("user"))?;
        // An address may be given to another person some day; an account may not.
        if tx.has_identity(user.id, &profile.identity.issuer).await? {
            let detail = "the account with your email address is linked to another identity at the sign-in \
                 provider. If it is yours, ask an owner to unlink it: your next sign-in links it again";
            return Ok(Err(Failure { user: Some(Box::new(user)), ..Failure::new("already_linked", detail) }));
        }
        return Ok(Ok(user));
    }
    if !settings.create_users {
        let detail = "you do not have an account yet: ask an owner";
        return Ok(Err(Failure::new("unknown_user", detail)));
    }
    let shown = profile.name.as_deref().map(str::trim).unwrap_or_default().to_owned();
    let name = Name::try_from(shown).unwrap_or_else(|_| Name::of(email));
    let actor = context.client.stranger();
    let by = By { actor: &actor, world: context.world };
    Ok(Ok(users::create(tx, by, email.clone(), name, Role::User).await?))
}

async fn link(
    tx: &mut Tx,
    context: SignInContext<'_>,
    user: &User,
    profile: &Profile,
) -> Result<(), Refusal> {
    let identity = &profile.identity;
    let link = LinkedIdentity {
        id: context.world.id(),
        identity: identity.clone(),
        created_at: context.world.now(),
    };
    let linked = tx.insert_link(user.id, &link).await;
    linked
        .map_err(|error| taken(error, "subject", "another sign-in happened at the same time: try again"))?;
    let actor = context.client.known(user, Uuid::nil());
    let by = By { actor: &actor, world: context.world };
    let data = json!({ "issuer": identity.issuer, "subject": identity.subject });
    by.audit(tx, AuditedAction { action: "user.linked", ..users::done(user, data) });
    Ok(())
}

/// Only an address that can be relied on shows that someone is of an accepted domain.
fn check_domain(settings: &Settings, profile: &Profile) -> Result<(), Failure> {
    if settings.domains.is_empty() {
        return Ok(());
    }
    let email = profile.address.as_ref().map_err(|doubt| Failure::from(*doubt))?;
    let domain = email.as_str().split_once('@').map_or("", |(_, domain)| domain);
    if settings.domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
        return Ok(());
    }
    let detail = "this email address is not allowed to sign in: ask an owner";
    Err(Failure::new("domain_not_allowed", detail))
}

async fn begin(
    context: SignInContext<'_>,
    mut tx: Tx,
    user: User,
    method: Method,
) -> Result<StartedSession, Refusal> {
    let lasting = context.sign_in.lasting;
    let begun = sessions::begin(&mut tx, context.world, context.client, lasting, user, method).await?;
    tx.commit().await?;
    Ok(begun)
}

fn unchanged(now: Option<SecretString>, verified: Option<SecretString>) -> bool {
    now.as_ref().map(|hash| hash.expose_secret()) == verified.as_ref().map(|hash| hash.expose_secret())
}

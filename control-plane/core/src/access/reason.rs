//! Why someone has a capability of an app, or has it not.

use uuid::Uuid;

use super::{Access, AccessMode, Capability, Member, Rule, Subjects};

/// Why someone has a capability, or has it not. Whether they have it follows from this alone, so that
/// no decision can differ from its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Yes: everyone has it who is not excepted.
    Everyone,
    /// Yes: they are on the allow list.
    Allowed(Via),
    /// Yes: they may ask for changes, for this reason, and that implies it.
    Implied(Box<Reason>),
    /// No: they may not sign in.
    Deactivated,
    /// No: they are among the exceptions, which always win.
    Excepted(Via),
    /// No: nobody has it.
    Disabled,
    /// No: they are not on the allow list.
    NotListed,
    /// No: they may not see the app, for this reason.
    NotAViewer(Box<Reason>),
}

/// How a list holds someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By themselves.
    Name,
    /// Through this smart group of theirs.
    Group(Uuid),
}

impl Subjects {
    /// How they hold `member`; none when neither they nor a group of theirs is among them.
    #[must_use]
    pub fn hold(&self, member: &Member) -> Option<Via> {
        if self.users.contains(&member.user) {
            return Some(Via::Name);
        }
        // Of the two, the shorter is searched for in the other.
        let (few, many) = if self.groups.len() < member.groups.len() {
            (&self.groups, &member.groups)
        } else {
            (&member.groups, &self.groups)
        };
        few.iter().find(|id| many.contains(id)).copied().map(Via::Group)
    }
}

impl Rule {
    /// What the rule by itself says of `member`. Exceptions come first.
    #[must_use]
    pub fn explain(&self, member: &Member) -> Reason {
        if let Some(via) = self.exceptions.hold(member) {
            return Reason::Excepted(via);
        }
        match self.mode {
            AccessMode::Disabled => Reason::Disabled,
            AccessMode::Everyone => Reason::Everyone,
            AccessMode::Specific => self.allow.hold(member).map_or(Reason::NotListed, Reason::Allowed),
        }
    }
}

impl Access {
    /// Why `member` has `capability`, or has it not. Who may ask for changes may see the app, unless
    /// excepted from that; what is shown of an app counts only for those who may see it.
    #[must_use]
    pub fn explain(&self, capability: Capability, member: &Member) -> Reason {
        if !member.is_active {
            return Reason::Deactivated;
        }
        match capability {
            Capability::Viewer => self.sees(member),
            Capability::SettingsRequest => self.settings_request.explain(member),
            Capability::KeyVisibility | Capability::AllLogs => {
                let sees = self.sees(member);
                if sees.is_granted() {
                    self.rule(capability).explain(member)
                } else {
                    Reason::NotAViewer(Box::new(sees))
                }
            }
        }
    }

    fn sees(&self, member: &Member) -> Reason {
        let own = self.viewer.explain(member);
        if own.is_granted() || matches!(own, Reason::Excepted(_)) {
            return own;
        }
        let asks = self.settings_request.explain(member);
        if asks.is_granted() { Reason::Implied(Box::new(asks)) } else { own }
    }
}

impl Reason {
    /// Whether this is a reason to have the capability.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        match self {
            Self::Everyone | Self::Allowed(_) | Self::Implied(_) => true,
            Self::Deactivated
            | Self::Excepted(_)
            | Self::Disabled
            | Self::NotListed
            | Self::NotAViewer(_) => false,
        }
    }

    /// The reason's word, for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Allowed(_) => "allowed",
            Self::Implied(_) => "implied",
            Self::Deactivated => "deactivated",
            Self::Excepted(_) => "excepted",
            Self::Disabled => "disabled",
            Self::NotListed => "not_listed",
            Self::NotAViewer(_) => "not_a_viewer",
        }
    }

    /// The smart group that decides, where one does.
    #[must_use]
    pub fn group(&self) -> Option<Uuid> {
        match self {
            Self::Allowed(Via::Group(id)) | Self::Excepted(Via::Group(id)) => Some(*id),
            Self::Implied(inner) | Self::NotAViewer(inner) => inner.group(),
            _ => None,
        }
    }

    /// The decision as people read it: "alice may view Support Bot: member of engineering, which viewer
    /// allows". `group` tells what a group is called.
    pub fn sentence(
        &self,
        person: &str,
        capability: Capability,
        app: &str,
        group: impl Fn(Uuid) -> String,
    ) -> String {
        let may = if self.is_granted() { "may" } else { "may not" };
        let act = match capability {
            Capability::Viewer => format!("view {app}"),
            Capability::SettingsRequest => format!("ask for changes of {app}"),
            Capability::KeyVisibility => format!("see key values of {app}"),
            Capability::AllLogs => format!("see everyone's logs of {app}"),
        };
        format!("{person} {may} {act}: {}", self.because(capability, &group))
    }

    fn because(&self, capability: Capability, group: &impl Fn(Uuid) -> String) -> String {
        let rule = match capability {
            Capability::Viewer => "viewer",
            Capability::SettingsRequest => "settings request",
            Capability::KeyVisibility => "key visibility",
            Capability::AllLogs => "all logs",
        };
        match self {
            Self::Everyone => format!("{rule} is for everyone"),
            Self::Allowed(Via::Name) => format!("{rule} allows them by name"),
            Self::Allowed(Via::Group(id)) => format!("member of {}, which {rule} allows", group(*id)),
            Self::Implied(asks) => {
                let asks = asks.because(Capability::SettingsRequest, group);
                format!("settings request implies it, and {asks}")
            }
            Self::Deactivated => "the account is deactivated".to_owned(),
            Self::Excepted(Via::Name) => format!("{rule} excepts them by name"),
            Self::Excepted(Via::Group(id)) => format!("member of {}, which {rule} excepts", group(*id)),
            Self::Disabled => format!("{rule} is disabled"),
            Self::NotListed => format!("{rule} is for specific people, and they are not among them"),
            Self::NotAViewer(sees) => {
                format!("they may not view it, since {}", sees.because(Capability::Viewer, group))
            }
        }
    }
}

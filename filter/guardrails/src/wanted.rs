//! What an app wants to be found.

use std::sync::{Arc, OnceLock};

use crate::category::{Category, Risk};
use crate::custom::CustomCategory;
use crate::custom::index::Index;
use crate::detector::{DETECTORS, DetectorId};
use crate::exceptions::Exceptions;

/// Decides between matches that overlap: the higher one stays. Give what is blocked a higher one than what is
/// only noted, so that a note never hides what must not pass.
pub type Precedence = u8;

/// What is looked for. The default is nothing, which costs nothing.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By detector; 0 is off.
    detectors: [Precedence; DETECTORS.len()],
    /// By position of the custom category; 0 is off.
    custom: Vec<(Arc<CustomCategory>, Precedence)>,
    /// Made once for all clones: it does not depend on precedences.
    custom_index: Arc<OnceLock<Index>>,
    exceptions: Exceptions,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            detectors: [0; DETECTORS.len()],
            custom: Vec::new(),
            custom_index: Arc::default(),
            exceptions: Exceptions::default(),
        }
    }
}

impl Wanted {
    /// Everything that is built in.
    #[must_use]
    pub fn all() -> Self {
        Category::BUILT_IN
            .into_iter()
            .fold(Self::default(), |wanted, category| wanted.with(category, Risk::Low, 1))
    }

    /// Wants the detectors of a built-in category whose risk is at least `from`.
    #[must_use]
    pub fn with(mut self, category: Category, from: Risk, precedence: Precedence) -> Self {
        for detector in DETECTORS.iter().filter(|d| d.category == category && d.risk >= from) {
            self.set(detector.id, precedence);
        }
        self
    }

    /// Turns one detector on, or off with 0.
    pub fn set(&mut self, detector: DetectorId, precedence: Precedence) {
        if let Some(slot) = self.detectors.get_mut(detector.index()) {
            *slot = precedence;
        }
    }

    /// Adds a category of the app's own, and gives its position: the number in [`Category::Custom`].
    pub fn add_custom(&mut self, category: Arc<CustomCategory>, precedence: Precedence) -> u16 {
        let position = u16::try_from(self.custom.len()).unwrap_or(u16::MAX);
        self.custom.push((category, precedence));
        self.custom_index = Arc::default();
        position
    }

    /// Lowers every precedence that is higher.
    #[must_use]
    pub fn at_most(mut self, most: Precedence) -> Self {
        // What is off or on stays so.
        let most = most.max(1);
        let custom = self.custom.iter_mut().map(|(_, precedence)| precedence);
        for precedence in self.detectors.iter_mut().chain(custom) {
            *precedence = (*precedence).min(most);
        }
        self
    }

    /// Values and patterns that are fine, whatever finds them.
    #[must_use]
    pub fn except(mut self, exceptions: Exceptions) -> Self {
        self.exceptions = exceptions;
        self
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.built_in() && self.custom.iter().all(|(_, precedence)| *precedence == 0)
    }

    pub(crate) fn built_in(&self) -> bool {
        self.detectors.iter().any(|precedence| *precedence > 0)
    }

    pub(crate) fn precedence(&self, detector: DetectorId) -> Precedence {
        self.detectors.get(detector.index()).copied().unwrap_or(0)
    }

    /// The custom categories that are on, with their positions.
    pub(crate) fn custom(&self) -> impl Iterator<Item = (u16, &CustomCategory, Precedence)> {
        let on = self.custom.iter().zip(0..).filter(|((_, precedence), _)| *precedence > 0);
        on.map(|((category, precedence), position)| (position, &**category, *precedence))
    }

    /// Of the custom categories that are on, in their order.
    pub(crate) fn custom_index(&self) -> &Index {
        self.custom_index.get_or_init(|| {
            let on = self.custom.iter().filter(|(_, precedence)| *precedence > 0);
            Index::new(on.map(|(category, _)| &**category))
        })
    }

    pub(crate) fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }
}

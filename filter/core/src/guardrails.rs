//! What an app's guardrails find in the texts of a request and of its answer, and what they do about it.
//!
//! The detectors are in the crate `latchkey_guardrails`; where texts stand, and how they are replaced, is in
//! [`crate::content`]. Here are the app's policy and what follows from it for each match.

mod answer;
mod external;
mod inspection;
mod placeholder;
mod policy;
mod report;
mod trial;

pub use answer::{AnswerInspector, AnswerMode, WholeAnswer};
pub use external::{
    Breakers, DetectorAnswer, DetectorCall, DetectorFailure, DetectorOutcome, JudgementStep,
    MOST_ANSWER_BYTES,
};
pub use inspection::{Blocked, InspectedContent, InspectedRequest, Inspection};
pub use policy::{Direction, Guardrails};
pub use report::{BlockDetail, Finding, FindingAction, InspectionReport, TrialReport};
pub use trial::GuardrailTrial;

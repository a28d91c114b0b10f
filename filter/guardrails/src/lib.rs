//! Finds sensitive content in a text: personal, health, financial and payment card data, secrets, and attacks
//! on models. Pure: a text in, matches out.
//!
//! [`Scanner::find`] takes a whole text, [`Scanner::scan`] a part of a stream. Both look at a place and what
//! follows it, and at most [`CONTEXT`] bytes back, so a stream has the same matches wherever it is cut.
//!
//! | module | what |
//! | --- | --- |
//! | [`scanner`] | the entry: a text and what is wanted in, matches out |
//! | [`wanted`], [`exceptions`], [`custom`] | what an app wants, allows, and looks for besides |
//! | [`detector`], [`category`] | the table of detectors |
//! | [`mask`] | what people may see of a match |
//! | [`folded_name`](fn@folded_name) | names that some reader takes for one another |
//! | `normalize` | brings what looks alike to one spelling |
//! | `pass` | goes over the bytes once, and calls rules where they may begin |
//! | `dictionary` | the keywords that rules begin with |
//! | `rules` | one file for each kind of value |
//! | `overlap` | decides between candidates |
//! | `cursor` | how rules read, so that it is known when the end of the text played a part |
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod scanner;

pub mod custom;
pub mod exceptions;
pub mod wanted;

pub mod category;
pub mod detector;

pub mod mask;

mod class;
mod cursor;
mod dictionary;
mod folded_name;
mod normalize;
mod overlap;
mod pass;
mod rules;
mod sink;
mod step;

pub use category::{Category, Risk, Strength};
pub use custom::CustomCategory;
pub use detector::{DETECTORS, Detector, DetectorId};
pub use exceptions::Exceptions;
pub use folded_name::folded_name;
pub use mask::mask;
pub use scanner::{CONTEXT, End, Finding, LONGEST_MATCH, Match, Part, Progress, Scan, Scanner};
pub use wanted::{Precedence, Wanted};

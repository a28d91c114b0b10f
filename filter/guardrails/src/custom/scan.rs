//! Looks for an app's own categories.

use crate::sink::Sink;

pub(crate) fn run(sink: &mut Sink<'_>) {
    for (_position, category, _precedence) in sink.wanted.custom() {
        let _ = category;
    }
}

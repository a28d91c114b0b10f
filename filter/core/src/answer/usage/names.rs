//! The member names in answers that matter.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MemberName {
    #[default]
    Other,
    Usage,
    /// Gemini's usage: at the top.
    UsageMetadata,
    /// Groq's own members: at the top.
    Groq,
    Type,
    ServiceTier,
    /// Takes the place of an answer: at the top.
    Error,
    /// Holds generated text: at the top.
    Choices,
    Delta,
    Generated,
    /// Holds usage: at the top.
    Envelope,
    /// A string that was not generated.
    Fixed,
    /// A string that was generated, but whose length says nothing: sound, encrypted reasoning.
    Opaque,
    /// A container that repeats what was generated.
    Muted,
}

/// Types of a stream's last event.
pub(super) const ENDS: [&[u8]; 8] = [
    b"message_stop",
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
    b"image_generation.completed",
    b"image_edit.completed",
    b"transcript.text.done",
    b"speech.audio.done",
];

impl MemberName {
    pub(super) fn of(word: &[u8]) -> Self {
        match word {
            b"usage" => Self::Usage,
            b"usageMetadata" | b"usage_metadata" => Self::UsageMetadata,
            b"x_groq" => Self::Groq,
            b"type" => Self::Type,
            b"service_tier" => Self::ServiceTier,
            b"error" => Self::Error,
            b"choices" => Self::Choices,
            b"delta" => Self::Delta,
            b"output" | b"content" | b"content_block" => Self::Generated,
            b"response" | b"message" => Self::Envelope,
            b"id"
            | b"object"
            | b"role"
            | b"status"
            | b"call_id"
            | b"item_id"
            | b"model"
            | b"finish_reason"
            | b"native_finish_reason"
            | b"stop_reason"
            | b"stop_sequence"
            | b"format" => Self::Fixed,
            b"signature" | b"encrypted_content" | b"data" => Self::Opaque,
            b"logprobs"
            | b"annotations"
            | b"citations"
            | b"content_filter_results"
            | b"reasoning_details" => Self::Muted,
            _ => Self::Other,
        }
    }
}

/// Stands for a tier without a price, whatever it is called.
pub(super) const UNKNOWN: &str = "unknown";

/// The beginning of a string: longer than any that matters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShortText {
    bytes: [u8; 32],
    length: usize,
}

impl ShortText {
    pub(super) fn push(&mut self, text: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(text) {
            *slot = *byte;
        }
        self.length = self.length.saturating_add(text.len());
    }

    /// Empty when it was too long.
    pub(super) fn spelled(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// [`UNKNOWN`] when it was too long.
    pub(super) fn text(&self) -> String {
        let text = str::from_utf8(self.spelled()).unwrap_or_default();
        if text.is_empty() { UNKNOWN.to_owned() } else { text.to_owned() }
    }
}

//! The members of the APIs that the walk knows, and what their values are.

use super::editor::Unread;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Strings are texts; objects and lists are of the API.
    Text,
    /// No text, whatever is in it.
    Nothing,
    /// Strings are settings or ids, unless they [`may_be_text`]. Objects and lists are of the API.
    Setting,
    /// A name that must match others.
    Name,
    /// Strings are JSON, or else texts; objects and lists are free.
    Json,
    /// Any JSON: its strings and its members' names are texts.
    Free,
    /// Strings are texts; an object is free.
    FreeObject,
    /// A JSON schema.
    Schema,
    /// Strings are media.
    Media,
    /// Strings are encrypted.
    Encrypted,
    /// Strings are what the object's type says.
    Data,
    /// Strings are media in what a tool has drawn, or else texts.
    Result,
    /// Text that is signed.
    Signed,
    /// Objects and lists spell the text once more.
    LogProbs,
}

/// Of what a member of the APIs is; none for one that is not known.
#[rustfmt::skip]
pub(super) fn member(name: &str) -> Option<(&'static str, Meaning)> {
    macro_rules! table {
        ($($meaning:ident: $($name:literal)+;)+) => {
            match name {
                $($($name => Some(($name, Meaning::$meaning)),)+)+
                _ => None,
            }
        };
    }
    table! {
        Text:
            "annotations" "audio" "audio_url" "caption" "choices" "citations" "cited_text" "code" "command"
            "content" "content_block" "contents" "context_management" "delta" "description" "developer" "diff"
            "document" "document_title" "document_url" "documents" "edits" "error" "examples" "file" "file_url"
            "filename" "function" "function_call" "functions" "headers" "image" "image_file" "image_url"
            "input_audio" "instructions" "item" "json_schema" "logs" "mcp_servers" "message" "messages"
            "negative_prompt" "output" "output_config" "output_text" "params" "part" "prediction" "prompt"
            "prompt_cache_key" "prompts" "queries" "query" "reasoning" "reasoning_content" "reasoning_details"
            "refusal" "resource" "resources" "response" "response_format" "results" "revised_prompt"
            "safety_identifier" "source" "sources" "suffix" "suggestions" "summary" "system" "text"
            "thinking_blocks" "title" "tool_calls" "tools" "transcript" "uri" "url" "user" "video_url";
        Nothing:
            "created" "created_at" "embedding" "embeddings" "logit_bias" "obfuscation" "usage";
        Setting:
            "allowed_tools" "anthropic_beta" "anthropic_version" "background" "best_of" "budget_tokens"
            "cache_control" "call_id" "container" "content_index" "cursor" "detail" "dimensions" "effort"
            "encoding_format" "event_id" "expires_at" "file_id" "finish_reason" "format" "frequency_penalty"
            "id" "include" "include_usage" "index" "input_fidelity" "is_error" "item_id" "jsonrpc" "language"
            "logprob" "max_completion_tokens" "max_output_tokens" "max_tokens" "max_tool_calls" "media_type"
            "method" "mime_type" "mimeType" "modalities" "model" "moderation" "n" "native_finish_reason"
            "nextCursor" "object" "output_format" "output_index" "parallel_tool_calls" "phase"
            "presence_penalty" "previous_response_id" "progressToken" "protocolVersion" "quality"
            "reasoning_effort" "response_id" "role" "seed" "sequence_number" "service_tier" "signature" "size"
            "speed" "status" "stop" "stop_reason" "stop_sequence" "stop_sequences" "store" "stream"
            "stream_format" "stream_options" "strict" "summary_index" "system_fingerprint" "temperature"
            "tool_call_id" "tool_choice" "tool_use_id" "top_k" "top_logprobs" "top_p" "truncation" "ttl" "type"
            "verbosity" "voice";
        Name: "authorization" "authorization_token" "name" "server_label" "server_name" "tool_name";
        Json: "arguments" "partial_json";
        Free: "_meta" "action" "client_metadata" "metadata" "operation" "structuredContent" "variables";
        FreeObject: "input";
        Schema: "inputSchema" "input_schema" "outputSchema" "parameters" "schema";
        Media: "b64_json" "blob" "file_data" "partial_image_b64";
        Encrypted: "encrypted_content" "encrypted_index" "encrypted_stdout";
        Data: "data";
        Result: "result";
        Signed: "thinking";
        LogProbs: "logprobs";
    }
}

/// Whether a setting or an id holds something else: words, an address, a long number, or an escape.
pub(super) fn may_be_text(raw: &str) -> bool {
    raw.contains([' ', '\\', '@']) || raw.bytes().filter(u8::is_ascii_digit).count() >= MANY_DIGITS
}

/// Digits of a setting or an id that may be a number of something.
const MANY_DIGITS: usize = 9;

/// Whether a string may be base64, as JSON writes it. Media that is not is looked at.
pub(super) fn may_be_base64(raw: &str) -> bool {
    raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_\\".contains(&byte))
}

/// Members of a JSON schema whose strings are no texts.
pub(super) fn is_schema_setting(name: &str) -> bool {
    matches!(name, "type" | "required" | "format" | "$ref" | "$schema" | "$id" | "$anchor")
}

/// What the `data` of an object of this type is; none where it is text.
pub(super) fn data_of(kind: Option<&str>) -> Option<Unread> {
    match kind? {
        "base64" | "image" | "audio" => Some(Unread::Media),
        "redacted_thinking" | "reasoning.encrypted" => Some(Unread::Encrypted),
        _ => None,
    }
}

/// Whether a text is a `data:` URL of a medium in base64.
pub(super) fn is_media_url(text: &str) -> bool {
    const MEDIA: [&str; 5] = ["image/", "audio/", "video/", "application/pdf", "application/octet-stream"];
    let Some(rest) = text.strip_prefix("data:") else { return false };
    let Some((media, data)) = rest.split_once(";base64,") else { return false };
    let is_media = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-.;=".contains(&byte);
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    MEDIA.iter().any(|kind| media.starts_with(kind))
        && media.len() <= 128
        && media.bytes().all(is_media)
        && data.bytes().all(is_base64)
}

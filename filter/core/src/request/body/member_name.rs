//! The meaning of a member's name, however a lenient parser may spell it.

use std::borrow::Cow;

use latchkey_guardrails::folded_name;

/// The top-level members that the gate reads. Each may occur once.
pub(super) const READ: [&str; 24] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "best_of",
    "messages",
    "system",
    "instructions",
    "input",
    "prompt",
    "tools",
    "context_management",
    "service_tier",
    "speed",
    "inference_geo",
    "thinking",
    "reasoning",
    "thinking_budget",
    "thinking_budget_tokens",
    "thinking_token_budget",
    "reasoning_budget",
];

/// Where resellers look for further models.
const LISTS: [&str; 6] = [
    "models",
    "model_list",
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "default_fallbacks",
];

/// What a top-level member means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemberMeaning {
    Read(&'static str),
    /// A lenient parser takes it for one of [`READ`], though it is spelled differently.
    Like(&'static str),
    /// One of [`LISTS`], in any spelling of a lenient parser.
    List,
    /// Costs nothing beyond its bytes.
    Harmless,
    /// Any other member.
    Other(Box<str>),
}

impl MemberMeaning {
    pub(super) fn named(name: &str) -> Self {
        if let Some(known) = READ.iter().find(|known| **known == name) {
            return Self::Read(known);
        }
        if is_harmless(name) {
            return Self::Harmless;
        }
        if among_members(name, &LISTS).is_some() {
            return Self::List;
        }
        among_members(name, &READ).map_or_else(|| Self::Other(name.into()), Self::Like)
    }
}

/// Members of OpenAI's and Anthropic's APIs, and of servers that speak them, that cost no more than their
/// bytes and the limited output: sampling settings, for instance.
#[rustfmt::skip]
fn is_harmless(name: &str) -> bool {
    matches!(
        name,
        // OpenAI's, of chat, completions, embeddings and responses.
        "dimensions" | "echo" | "encoding_format" | "frequency_penalty" | "function_call" | "functions"
            | "include" | "instructions" | "logit_bias" | "logprobs" | "max_tool_calls" | "metadata"
            | "moderation" | "parallel_tool_calls" | "presence_penalty" | "prompt_cache_key"
            | "prompt_cache_options" | "prompt_cache_retention" | "reasoning_effort" | "response_format"
            | "safety_identifier" | "seed" | "stop" | "store" | "suffix" | "temperature"
            | "text" | "tool_choice" | "top_logprobs" | "top_p" | "truncation" | "user" | "verbosity"
            // What Codex adds.
            | "client_metadata"
            // Anthropic's.
            | "anthropic_beta" | "anthropic_version" | "cache_control" | "diagnostics"
            | "fallback_credit_token" | "output_config" | "output_format" | "stop_sequences" | "system"
            | "top_k" | "user_profile_id"
            // Azure, Mistral, DeepSeek, Groq, Qwen, GLM, OpenRouter, Together, Fireworks.
            | "context_length_exceeded_behavior" | "disable_tool_validation" | "do_sample"
            | "document_image_limit" | "document_page_limit" | "enable_thinking" | "include_reasoning"
            | "incremental_output" | "prompt_mode" | "prompt_truncate_len" | "random_seed"
            | "reasoning_format" | "reasoning_split" | "request_id" | "result_format" | "safe_prompt"
            | "safety_settings" | "session_id" | "tool_stream" | "top_a" | "trace" | "transforms" | "usage"
            | "user_id" | "user_security_context" | "vl_high_resolution_images"
            // vLLM, SGLang, llama.cpp, LM Studio, Ollama, TGI.
            | "add_generation_prompt" | "add_special_tokens" | "allowed_token_ids" | "bad_words"
            | "cache_prompt" | "cache_salt" | "continue_final_message" | "detokenize" | "dry_allowed_length"
            | "dry_base" | "dry_multiplier" | "dry_penalty_last_n" | "dry_sequence_breakers"
            | "dynatemp_exponent" | "dynatemp_range" | "ebnf" | "frequency_penalty_range" | "grammar"
            | "guided_choice" | "guided_decoding_backend" | "guided_grammar" | "guided_json"
            | "guided_regex" | "guided_whitespace_pattern" | "id_slot" | "ignore_eos"
            | "include_stop_str_in_output" | "json_schema" | "keep_alive" | "length_penalty" | "min_keep"
            | "min_p" | "min_tokens" | "mirostat" | "mirostat_eta" | "mirostat_tau" | "n_probs"
            | "no_stop_trim" | "parse_tool_calls" | "priority" | "prompt_logprobs" | "regex"
            | "repeat_last_n" | "repeat_penalty" | "repetition_penalty" | "return_progress"
            | "return_token_ids" | "return_tokens_as_token_ids" | "samplers" | "separate_reasoning"
            | "skip_special_tokens" | "spaces_between_special_tokens" | "stop_regex" | "stop_token_ids"
            | "stream_reasoning" | "structured_outputs" | "tfs_z" | "timings_per_token"
            | "truncate_prompt_tokens" | "ttl" | "typical_p" | "xtc_probability" | "xtc_threshold"
            // Embeddings of Cohere, Jina, Voyage, Mistral, Nvidia.
            | "embedding_type" | "embedding_types" | "input_type" | "late_chunking" | "normalized"
            | "output_dimension" | "output_dtype" | "task" | "task_type" | "truncate"
    )
}

/// The name that the most lenient parser takes `text` for.
pub(super) fn among(text: &str, names: &[&'static str]) -> Option<&'static str> {
    let folded = if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(folded_name(text)) };
    names.iter().find(|name| **name == folded).copied()
}

/// The same for a member's name.
pub(super) fn among_members(text: &str, names: &[&'static str]) -> Option<&'static str> {
    let folded = if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(folded_member(text)) };
    names.iter().find(|name| **name == folded).copied()
}

/// What the most lenient parser takes a member's name for: some read only what comes before a bracket.
pub(crate) fn folded_member(name: &str) -> String {
    let mut folded = folded_name(name);
    folded.truncate(folded.find('[').unwrap_or(folded.len()));
    folded
}

/// Whether the most lenient parser takes a member's name for `name`.
pub(crate) fn may_be_member(text: &str, name: &'static str) -> bool {
    among_members(text, &[name]).is_some()
}

/// Whether no parser takes it for another name.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

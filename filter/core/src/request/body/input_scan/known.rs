//! The names that the scan knows.

/// Parts that make the provider read outside input. Files are among them even when inline: a page of PDF
/// costs thousands of tokens in few bytes.
pub(super) const OUTSIDE_PARTS: [&str; 11] = [
    "file",
    "file_id",
    "file_ids",
    "file_url",
    "file_data",
    "document_url",
    "video",
    "video_url",
    "input_video",
    "audio",
    "audio_url",
];

/// Other members of messages, parts and items that are scanned.
pub(super) const SCANNED_MEMBERS: [&str; 16] = [
    "type",
    "id",
    "tools",
    "execution",
    "environment",
    "role",
    "content",
    "output",
    "image",
    "image_url",
    "input_audio",
    "source",
    "url",
    "data",
    "media_type",
    "encrypted_content",
];

/// Part types that are whole in the body, or whose own members tell what they read.
#[rustfmt::skip]
pub(super) fn is_known_part(kind: &str) -> bool {
    matches!(
        kind,
        // OpenAI's.
        "text" | "image_url" | "input_audio" | "file" | "refusal" | "input_text" | "output_text"
            | "input_image" | "input_file" | "summary_text" | "reasoning_text" | "computer_screenshot"
            | "encrypted_content" | "reasoning" | "audio_url" | "video_url" | "message"
            // Anthropic's. What its tools have found comes back encrypted, and whole.
            | "image" | "document" | "search_result" | "thinking" | "redacted_thinking" | "tool_use"
            | "tool_result" | "tool_reference" | "server_tool_use" | "web_search_tool_result"
            | "web_search_result" | "web_fetch_tool_result" | "web_fetch_result"
            | "code_execution_tool_result" | "code_execution_result" | "bash_code_execution_tool_result"
            | "bash_code_execution_result" | "text_editor_code_execution_tool_result"
            | "tool_search_tool_result" | "tool_search_tool_search_result" | "mcp_tool_use"
            | "mcp_tool_result" | "compaction" | "tool_addition" | "tool_removal" | "fallback" | "content"
            | "base64" | "url"
    )
}

/// Input items of the Responses API that are whole in the body. Others are looked up by id, or stand for a
/// hosted tool's findings. Reasoning is whole if it is encrypted in the body, or has no id.
pub(super) const WHOLE_ITEMS: [&str; 25] = [
    "message",
    "agent_message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "computer_call",
    "computer_call_output",
    "additional_tools",
    "tool_search_call",
    "tool_search_output",
    "program",
    "program_output",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "compaction",
    "context_compaction",
];

/// Items that bring tools along.
pub(super) const ITEMS_WITH_TOOLS: [&str; 2] = ["additional_tools", "tool_search_output"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToolRunner {
    /// The client, which has described it.
    Client,
    /// The client. The provider describes it, in about as many tools as this.
    Defined(u64),
    Namespace,
    /// The provider, among the tools in the body.
    Search,
    Provider,
}

impl ToolRunner {
    /// Of a tool of OpenAI's APIs.
    pub(super) fn of_openai(kind: Option<&str>, execution: Option<&str>, environment: Option<&str>) -> Self {
        match kind {
            Some("function" | "custom") => Self::Client,
            Some("local_shell" | "apply_patch" | "computer" | "computer_use_preview") => Self::Defined(1),
            Some("shell") if environment == Some("local") => Self::Defined(1),
            Some("namespace") => Self::Namespace,
            Some("tool_search") if execution == Some("client") => Self::Client,
            Some("tool_search") => Self::Search,
            _ => Self::Provider,
        }
    }

    /// Of a tool of Anthropic's API, whose types end in dates.
    pub(super) fn of_anthropic(kind: Option<&str>) -> Self {
        const TOOLS: [&str; 4] = ["bash_20", "text_editor_20", "computer_20", "memory_20"];
        const TOOLSETS: [&str; 2] = ["browser_toolset_20", "computer_toolset_20"];
        let is_one_of =
            |names: &[&str]| kind.is_some_and(|kind| names.iter().any(|name| kind.starts_with(name)));
        match kind {
            None | Some("custom") => Self::Client,
            _ if is_one_of(&TOOLS) => Self::Defined(1),
            _ if is_one_of(&TOOLSETS) => Self::Defined(8),
            _ => Self::Provider,
        }
    }
}

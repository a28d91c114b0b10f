//! The names that the walk knows.

/// Members at the top that reach outside, unless they are null, false or an empty list.
pub(super) const OUTSIDE: [&str; 12] = [
    "previous_response_id",
    "conversation",
    "background",
    "web_search_options",
    "search_parameters",
    "data_sources",
    "plugins",
    "container",
    "mcp_servers",
    "file_id",
    "file_ids",
    "file_url",
];

/// Parts of a message that reach outside. Files are among them even when they are inline: a page
/// of PDF costs thousands of tokens and may have few bytes.
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

/// The other members of messages, parts and items that are looked at.
pub(super) const LOOKED_AT: [&str; 12] = [
    "type",
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

/// Items of a response's input that are whole in the body. Others are looked up by their id, or
/// stand for what a hosted tool has found. Reasoning is whole where it is there encrypted.
pub(super) const WHOLE_ITEMS: [&str; 15] = [
    "message",
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
    "mcp_approval_response",
    "compaction",
];

/// Tools that clients run, of OpenAI's APIs: true where the provider defines them.
pub(super) const OPENAI_TOOLS: [(&str, bool); 6] = [
    ("function", false),
    ("custom", false),
    ("local_shell", true),
    ("apply_patch", true),
    ("computer", true),
    ("computer_use_preview", true),
];

/// The same of Anthropic's, without their dates.
pub(super) const ANTHROPIC_TOOLS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

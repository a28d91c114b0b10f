use crate::request::body::{BodyFormat, RequestBody};
use crate::request::endpoint::ModelOperation::{
    self, ChatCompletions, Completions, Embeddings, Messages, Responses,
};

fn read(operation: ModelOperation, members: &str) -> RequestBody {
    let body = format!(r#"{{"model":"a",{members}}}"#);
    BodyFormat::Json.read(operation, body.as_bytes()).unwrap()
}

/// The member that reaches outside, and if nothing bounds it, what the client is told of it.
fn outside(operation: ModelOperation, members: &str) -> Option<String> {
    let bounds = read(operation, members).bounds;
    bounds.obstacles.cost.map(|denial| denial.message.into_owned()).or(bounds.unbounded.map(str::to_owned))
}

fn message(parts: &str) -> String {
    format!(r#""messages":[{{"role":"system","content":"x"}},{{"role":"user","content":[{parts}]}}]"#)
}

#[test]
fn ordinary_requests_are_bounded() {
    for (operation, members) in [
        (ChatCompletions, r#""messages":[{"role":"user","content":"file_id \"image_url\": \\"}]"#.to_owned()),
        (ChatCompletions, message(r#"{"type":"text","text":"{\"file_id\":\"http://x\"}"}"#)),
        (ChatCompletions, message(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"low"}}"#)),
        (ChatCompletions, message(r#"{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA"}}"#)),
        (ChatCompletions, message(r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}}"#)),
        (ChatCompletions, r#""messages":[{"role":"assistant","content":null,"audio":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"url\":\"http://x\"}"}}]}]"#.to_owned()),
        (ChatCompletions, r#""tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"file_id":{"type":"string"},"container":{}}}}}],"plugins":[],"background":false"#.to_owned()),
        (Completions, r#""prompt":"x""#.to_owned()),
        (Completions, r#""prompt":["x","y"]"#.to_owned()),
        (Embeddings, r#""input":[[1,2],[3]]"#.to_owned()),
        (Embeddings, r#""input":["file_id"]"#.to_owned()),
        (Responses, r#""input":"x","previous_response_id":null,"conversation":null,"prompt":null"#.to_owned()),
        (Responses, r#""input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/jpeg;base64,AA","file_id":null}]},
            {"type":"message","role":"assistant","id":"msg_1","content":[{"type":"output_text","text":"x","annotations":[]}]},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"{\"file_id\":1}"},
            {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"},
            {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"x"}]}],
            "tools":[{"type":"function","name":"f","parameters":{}},{"type":"custom","name":"g"}]"#.to_owned()),
        (Responses, r#""input":[{"type":"additional_tools","role":"developer","tools":[
                {"type":"namespace","name":"functions","tools":[{"type":"custom","name":"exec"},{"type":"function","name":"wait","parameters":{}}]}]},
            {"type":"tool_search_call","call_id":"c1","arguments":{"query":"x"}},{"type":"tool_search_output","call_id":"c1","tools":[]},
            {"type":"mcp_list_tools","server_label":"s","tools":[{"name":"f","input_schema":{}}]},{"type":"mcp_call","name":"f","output":"x"},
            {"type":"agent_message","author":"/root","recipient":"/a","content":[{"type":"input_text","text":"x"}]},
            {"type":"context_compaction","encrypted_content":"AAAA"},{"type":"program","code":"x"},{"type":"program_output","result":"x"}],
            "tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"read"}]},{"type":"namespace","name":"empty"},
            {"type":"tool_search","execution":"client","parameters":{}},{"type":"tool_search"},{"type":"shell","environment":{"type":"local"}},
            {"type":"apply_patch"},{"type":"local_shell"}]"#.to_owned()),
        (Messages, message(r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#)),
        (Messages, message(r#"{"type":"document","source":{"data":"text","type":"text","media_type":"text/plain"},"title":"t"}"#)),
        (Messages, message(r#"{"type":"tool_use","id":"t","name":"f","input":{"file_id":"x","source":{"type":"url"},"url":"http://x"}}"#)),
        (Messages, message(r#"{"type":"search_result","source":"http://x","title":"t","content":[{"type":"text","text":"x"}]}"#)),
        (Messages, r#""tools":[{"name":"f","input_schema":{"properties":{"type":{"type":"string"}}}},{"type":"custom","name":"g"},{"type":"bash_20250124","name":"bash"}],"mcp_servers":[],"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}"#.to_owned()),
    ] {
        assert_eq!(outside(operation, &members), None, "{operation:?} {members}");
    }
}

#[test]
fn what_is_read_from_elsewhere_is_named() {
    for (operation, members, expected) in [
        (ChatCompletions, message(r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#), "image_url"),
        (ChatCompletions, message(r#"{"type":"image_url","image_url":{"url":"data:application/pdf;base64,AA"}}"#), "image_url"),
        (ChatCompletions, message(r#"{"type":"image_url","Image_Url":{"URL":"https://x/y.png"}}"#), "image_url"),
        (ChatCompletions, message(r#"{"image_url":{"url":"data:image/png;base64,A","url":"https://x"}}"#), "image_url"),
        (ChatCompletions, message(r#"{"type":"file","file":{"file_id":"f"}}"#), "file"),
        (ChatCompletions, message(r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AA"}}"#), "file"),
        (ChatCompletions, message(r#"{"type":"video_url","video_url":{"url":"https://x"}}"#), "video_url"),
        (ChatCompletions, message(r#"{"type":"input_audio","input_audio":{"data":"https://x"}}"#), "input_audio"),
        (ChatCompletions, message(r#"{"\u0066ile":{"file_id":"f"}}"#), "an escaped name"),
        (ChatCompletions, r#""messages":[{"role":"assistant","audio":{"id":"audio_1"}}]"#.to_owned(), "audio"),
        (ChatCompletions, r#""web_search_options":{}"#.to_owned(), "web_search_options"),
        (ChatCompletions, r#""tools":[{"google_search":{}}]"#.to_owned(), "tools"),
        (Embeddings, r#""input":[{"image":"https://x"}]"#.to_owned(), "image"),
        (Responses, r#""previous_response_id":"resp_1""#.to_owned(), "previous_response_id"),
        (Responses, r#""conversation":{"id":"conv_1"}"#.to_owned(), "conversation"),
        (Responses, r#""prompt":{"id":"pmpt_1"}"#.to_owned(), "prompt"),
        (Responses, r#""background":true"#.to_owned(), "background"),
        (Responses, r#""input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x"}]}]"#.to_owned(), "file_url"),
        (Responses, r#""input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]"#.to_owned(), "file_id"),
        (Responses, r#""input":[{"type":"item_reference","id":"msg_1"}]"#.to_owned(), "input"),
        (Responses, r#""input":[{"id":"msg_1"}]"#.to_owned(), "input"),
        (Responses, r#""input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null}]"#.to_owned(), "input"),
        (Responses, r#""input":[{"type":"message","type":"item_reference","role":"user"}]"#.to_owned(), "a repeated member"),
        (Responses, r#""input":[{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"https://x"}}]"#.to_owned(), "image_url"),
        (Responses, r#""tools":[{"type":"web_search_preview"}]"#.to_owned(), "tools"),
        (Responses, r#""tools":[{"type":"function"},{"type":"file_search"}]"#.to_owned(), "tools"),
        (Responses, r#""tools":[{"type":"code_interpreter"}]"#.to_owned(), "tools"),
        (Responses, r#""tools":[{"type":"mcp"}]"#.to_owned(), "`mcp`"),
        (Responses, r#""tools":[{"type":"web_search"}]"#.to_owned(), "web_search = \"disabled\""),
        (Responses, r#""tools":[{"type":"image_generation"}]"#.to_owned(), "`image_generation`"),
        (Responses, r#""tools":[{"type":"programmatic_tool_calling"}]"#.to_owned(), "`programmatic_tool_calling`"),
        (Responses, r#""tools":[{"type":"shell","environment":{"type":"container_auto"}}]"#.to_owned(), "`shell`"),
        (Responses, r#""tools":[{"type":"namespace","tools":[{"type":"function"},{"type":"web_search"}]}]"#.to_owned(), "`web_search`"),
        (Responses, r#""tools":[{"tools":[{"type":"namespace","tools":[{"type":"mcp"}]}],"type":"namespace"}]"#.to_owned(), "`mcp`"),
        (Responses, r#""input":[{"tools":[{"type":"file_search"}],"type":"additional_tools"}]"#.to_owned(), "`file_search`"),
        (Responses, r#""input":[{"type":"tool_search_output","tools":[{"type":"code_interpreter"}]}]"#.to_owned(), "`code_interpreter`"),
        (Responses, r#""tools":[{"type":"function","type":"web_search"}]"#.to_owned(), "a repeated member"),
        (Responses, r#""tools":[{"type":"\u0066unction"}]"#.to_owned(), "a tool of an unknown type"),
        (ChatCompletions, r#""tools":[{"type":"builtin_function","function":{"name":"$web_search"}}]"#.to_owned(), "`builtin_function`"),
        (ChatCompletions, message(r#"{"type":"memory_reference","reference":"m_1"}"#), "content"),
        (Messages, r#""tools":[{"type":"web_fetch_20260318"}]"#.to_owned(), "`web_fetch_20260318`"),
        (Messages, r#""tools":[{"type":"code_execution_20250825"}]"#.to_owned(), "`code_execution_20250825`"),
        (Messages, r#""tools":[{"type":"tool_search_tool_bm25_20251119"}]"#.to_owned(), "`tool_search_tool_bm25_20251119`"),
        (Messages, r#""tools":[{"type":"advisor_20260301"}]"#.to_owned(), "`advisor_20260301`"),
        (Messages, r#""tools":[{"type":"mcp_toolset"}]"#.to_owned(), "`mcp_toolset`"),
        (Messages, message(r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#), "source"),
        (Messages, message(r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#), "file_id"),
        (Messages, message(r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA"}}"#), "source"),
        (Messages, message(r#"{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"x"}}]}"#), "source"),
        (Messages, message(r#"{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url","url":"x"}}]}}"#), "source"),
        (Messages, r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#.to_owned(), "tools"),
        (Messages, r#""context_management":{"edits":[{"type":"compact_20260112"}]}"#.to_owned(), "context_management"),
        (Responses, r#""context_management":[{"type":"\u0063ompaction"}]"#.to_owned(), "context_management"),
        (Messages, r#""container":"c_1""#.to_owned(), "container"),
        (Messages, r#""mcp_servers":[{"type":"url","url":"https://x"}]"#.to_owned(), "mcp_servers"),
    ] {
        let found = outside(operation, &members).unwrap_or_else(|| panic!("{operation:?} {members} is bounded"));
        assert!(found.contains(expected), "{operation:?} {members}: {found}");
    }
}

#[test]
fn no_nesting_is_a_danger() {
    for (open, shut) in [
        (r#"{"source":"#, "}"),
        (r#"{"image_url":{"url":"#, "}}"),
        (r#"{"content":["#, "]}"),
        (r#"{"output":{"source":"#, "}}"),
        (r#"{"input_audio":{"data":"#, "}}"),
    ] {
        let parts = format!("{}1{}", open.repeat(20_000), shut.repeat(20_000));
        assert!(outside(Messages, &message(&parts)).is_some(), "{open}");
    }
}

#[test]
fn text_is_bounded_by_its_bytes_and_images_by_the_dearest() {
    let bounds = read(ChatCompletions, &message(r#"{"type":"text","text":"hello"}"#)).bounds;
    let bytes = r#"{"model":"a",}"#.len() + message(r#"{"type":"text","text":"hello"}"#).len();
    assert_eq!(bounds.input_bound, bytes as u64 + 256);
    assert_eq!(bounds.input_estimate, bytes.div_ceil(4) as u64);
    let image = |data: &str| {
        let url = format!("data:image/png;base64,{data}");
        let part = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
        read(ChatCompletions, &message(&part)).bounds
    };
    assert_eq!(image("AA"), image(&"A".repeat(100_000)));
    assert!((50_000..51_000).contains(&image("AA").input_bound));
    assert!((1_000..1_100).contains(&image("AA").input_estimate));
    let source = format!(
        r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{}"}}}}"#,
        "A".repeat(100_000)
    );
    assert!((50_000..51_000).contains(&read(Messages, &message(&source)).bounds.input_bound));
    let audio = format!(r#"{{"type":"input_audio","input_audio":{{"data":"{}"}}}}"#, "A".repeat(100_000));
    let bounds = read(ChatCompletions, &message(&audio)).bounds;
    assert!((100_000..101_000).contains(&bounds.input_bound) && (100..200).contains(&bounds.input_estimate));
}

#[test]
fn tools_cost_what_providers_write_around_them() {
    let bound = |members: &str| read(Messages, members).bounds.input_bound - members.len() as u64;
    let plain = bound(r#""tools":[]"#);
    assert_eq!(bound(r#""tools":[{"name":"f"}]"#) - plain, 1_024);
    assert_eq!(bound(r#""tools":[{"name":"f"},{"type":"bash_20250124"}]"#) - plain, 2_048);
    assert_eq!(bound(r#""tools":[{"type":"browser_toolset_20260801"}]"#) - plain, 9 * 1_024);
}

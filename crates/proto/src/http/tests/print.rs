//! JSON for people: what fits on a line stays on it.

use serde_json::Value;

const WIDTH: usize = 160;

pub(super) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    print(value, 0, &mut text);
    text.push('\n');
    text
}

fn print(value: &Value, indent: usize, text: &mut String) {
    let line = one_line(value);
    if indent + line.len() <= WIDTH && indent > 0 {
        text.push_str(&line);
        return;
    }
    let pad = " ".repeat(indent + 2);
    let close = match value {
        Value::Array(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                text.push_str(if n == 0 { "\n" } else { ",\n" });
                text.push_str(&pad);
                print(item, indent + 2, text);
            }
            ']'
        }
        Value::Object(members) => {
            text.push('{');
            for (n, (name, member)) in members.iter().enumerate() {
                text.push_str(if n == 0 { "\n" } else { ",\n" });
                text.push_str(&pad);
                text.push_str(&format!("\"{name}\": "));
                print(member, indent + 2, text);
            }
            '}'
        }
        _ => return text.push_str(&line),
    };
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

fn one_line(value: &Value) -> String {
    let members = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", members(items.iter().map(one_line).collect())),
        Value::Object(map) => {
            let parts = map
                .iter()
                .map(|(name, member)| format!("\"{name}\": {}", one_line(member)));
            format!("{{ {} }}", members(parts.collect()))
        }
        _ => value.to_string(),
    }
}

//! docs/api.md, written from the comments of the contracts.

use super::comments::{Contract, Listed, reasons, split};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto, field_descriptor_proto::Type,
};
use rpc::status;
use std::fmt::Write as _;

const HEAD: &str = "# The calls, their messages and their errors

Written by `make docs` from the comments in [proto/](../proto/coffeeshop); a test compares the two. \
[clients/](../clients) shows the same in Python, TypeScript, Go and Java.
";

/// The page.
pub fn write(contract: &Contract) -> String {
    let mut page = HEAD.to_owned();
    page += &errors(contract);
    // Services first: that is what people come for.
    let mut files: Vec<_> = contract.files().iter().collect();
    files.sort_by_key(|file| rank(file));
    for file in &files {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            page += &format!("\n## {name}\n{}", prose(contract.comment(&name)));
            for call in &service.method {
                page += &self::call(contract, &name, call);
            }
        }
    }
    page += "\n## Messages\n";
    for file in &files {
        for message in &file.message_type {
            page += &self::message(contract, file, message);
        }
        for names in file
            .enum_type
            .iter()
            .filter(|names| names.name() != "ErrorReason")
        {
            page += &self::names(contract, file, names);
        }
    }
    page
}

/// What most people call, before what the others do.
fn rank(file: &FileDescriptorProto) -> (usize, String) {
    let order = ["reception", "barista", "payments", "operations"];
    let package = file.package();
    let rank = order.iter().position(|name| package.contains(name));
    (rank.unwrap_or(order.len()), file.name().to_owned())
}

fn errors(contract: &Contract) -> String {
    let (text, everywhere) = split(contract.comment("coffeeshop.errors.v1.ErrorReason"));
    let mut page = format!("\n## Errors\n{}", prose(&text));
    page += &table(&everywhere);
    page += "\nAll reasons:\n\n| reason | |\n|---|---|\n";
    for reason in reasons() {
        let _ = writeln!(
            page,
            "| `{}` | {} |",
            status::word(reason),
            contract.meaning(reason)
        );
    }
    page
}

fn table(errors: &[Listed]) -> String {
    if errors.is_empty() {
        return String::new();
    }
    let mut table = "\n| code | reason | |\n|---|---|---|\n".to_owned();
    for Listed { code, reason, text } in errors {
        let _ = writeln!(table, "| `{code}` | `{}` | {text} |", status::word(*reason));
    }
    table
}

fn call(contract: &Contract, service: &str, call: &MethodDescriptorProto) -> String {
    let name = format!("{service}/{}", call.name());
    let (text, _) = split(contract.comment(&name));
    let stream = if call.server_streaming() {
        "a stream of "
    } else {
        ""
    };
    let mut page = format!("\n### {}\n\n", call.name());
    let (takes, gives) = (link(call.input_type()), link(call.output_type()));
    let _ = write!(
        page,
        "Takes {takes}, answers {stream}{gives}.\n{}",
        prose(&text)
    );
    let errors = contract.own_errors_of(&name);
    page += &table(&errors);
    let besides = if errors.is_empty() {
        "Can answer"
    } else {
        "And"
    };
    page + &format!("\n{besides} what [any call](#errors) can.\n")
}

fn message(contract: &Contract, file: &FileDescriptorProto, message: &DescriptorProto) -> String {
    // Made for a map.
    let is_map = message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry());
    if is_map {
        return String::new();
    }
    let name = format!("{}.{}", file.package(), message.name());
    let mut page = format!("\n### {name}\n{}", prose(contract.comment(&name)));
    if message.field.is_empty() {
        return page + "\nHas no fields.\n";
    }
    page += "\n| field | type | |\n|---|---|---|\n";
    for field in &message.field {
        let one_of = match field.oneof_index {
            Some(index) if !field.proto3_optional() => {
                let index = usize::try_from(index).expect("an index is not negative");
                format!("One of `{}`. ", message.oneof_decl[index].name())
            }
            _ => String::new(),
        };
        let text = contract
            .comment(&format!("{name}.{}", field.name()))
            .replace('\n', " ");
        let _ = writeln!(
            page,
            "| `{}` | {} | {one_of}{text} |",
            field.name(),
            kind(message, field)
        );
    }
    page
}

fn names(contract: &Contract, file: &FileDescriptorProto, names: &EnumDescriptorProto) -> String {
    let name = format!("{}.{}", file.package(), names.name());
    let mut page = format!("\n### {name}\n{}", prose(contract.comment(&name)));
    page += "\n| value | |\n|---|---|\n";
    for value in &names.value {
        let text = contract
            .comment(&format!("{name}.{}", value.name()))
            .replace('\n', " ");
        let _ = writeln!(page, "| `{}` | {text} |", value.name());
    }
    page
}

fn kind(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry = message.nested_type.iter().find(|entry| {
        field
            .type_name()
            .ends_with(&format!(".{}.{}", message.name(), entry.name()))
    });
    if let Some(entry) = entry {
        let of = entry.field.iter().map(|field| kind(entry, field));
        return format!("map of {}", of.collect::<Vec<_>>().join(" to "));
    }
    let kind = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        other => other
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    match field.label() {
        prost_types::field_descriptor_proto::Label::Repeated => format!("list of {kind}"),
        _ => kind,
    }
}

/// To a message of this page; others are protobuf's own, which everybody knows.
fn link(type_name: &str) -> String {
    let name = type_name.trim_start_matches('.');
    let short = name.rsplit('.').next().unwrap_or(name);
    match name.starts_with("coffeeshop.") {
        true => format!("[{short}](#{})", name.replace('.', "").to_lowercase()),
        false => name.to_owned(),
    }
}

/// Paragraphs; what is indented stays as it is.
fn prose(comment: &str) -> String {
    let mut text = String::new();
    let mut before = Kind::Empty;
    for line in comment.lines() {
        let kind = Kind::of(line);
        let fence = (before == Kind::Indented) != (kind == Kind::Indented);
        text += match (fence, before, kind) {
            (true, Kind::Indented, _) => "```\n\n",
            (true, _, _) => "\n```\n",
            (false, Kind::Empty, Kind::Words) => "\n",
            _ => "",
        };
        if kind != Kind::Empty {
            let _ = writeln!(text, "{}", line.strip_prefix("  ").unwrap_or(line));
        }
        before = kind;
    }
    match before {
        Kind::Indented => text + "```\n",
        _ => text,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Empty,
    Words,
    Indented,
}

impl Kind {
    fn of(line: &str) -> Self {
        match line {
            "" => Self::Empty,
            line if line.starts_with("  ") => Self::Indented,
            _ => Self::Words,
        }
    }
}

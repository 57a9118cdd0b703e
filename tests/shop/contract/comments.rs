//! What stands in the comments of `proto/`.
//!
//! An error is an indented line that begins with a code and a reason; what follows is indented
//! deeper. It stands at its call, at its service if any of its calls can give it, or at
//! `ErrorReason` if any call of all can.

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use rpc::status::{self, Reason};
use std::collections::HashMap;
use tonic::Code;

/// The contracts, with their comments.
pub struct Contract {
    files: Vec<FileDescriptorProto>,
    /// By full name; of a call, `package.Service/Call`; of a field, `package.Message.field`.
    comments: HashMap<String, String>,
}

/// An error that a call can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `NOT_FOUND`
    pub code: &'static str,
    pub reason: Reason,
    /// What it means here.
    pub text: String,
}

impl Contract {
    pub fn read() -> Self {
        let set = FileDescriptorSet::decode(proto::DOCUMENTED).expect("build.rs wrote it");
        let ours = |file: &FileDescriptorProto| file.package().starts_with("coffeeshop.");
        let files: Vec<_> = set.file.into_iter().filter(ours).collect();
        let comments = files.iter().flat_map(comments).collect();
        Self { files, comments }
    }

    pub fn files(&self) -> &[FileDescriptorProto] {
        &self.files
    }

    /// The comment at something, line by line; empty if there is none.
    pub fn comment(&self, name: &str) -> &str {
        self.comments.get(name).map_or("", String::as_str)
    }

    /// What a reason means, wherever it is given.
    pub fn meaning(&self, reason: Reason) -> String {
        let name = format!("{REASONS}.{}", reason.as_str_name());
        self.comment(&name).replace('\n', " ")
    }

    /// Every call, as `package.Service/Call`.
    pub fn calls(&self) -> Vec<String> {
        let services = self.files.iter().flat_map(|file| {
            let services = file.service.iter();
            services.map(move |service| (format!("{}.{}", file.package(), service.name()), service))
        });
        services
            .flat_map(|(name, service)| {
                let calls = service.method.iter();
                calls.map(move |call| format!("{name}/{}", call.name()))
            })
            .collect()
    }

    /// Every error that a call can give: its own, its service's, and those of any call.
    pub fn errors_of(&self, call: &str) -> Vec<Listed> {
        let (_, everywhere) = split(self.comment(REASONS));
        [self.own_errors_of(call), everywhere].concat()
    }

    /// Those that not every call can give.
    pub fn own_errors_of(&self, call: &str) -> Vec<Listed> {
        let (service, _) = call.split_once('/').expect("package.Service/Call");
        [call, service]
            .iter()
            .flat_map(|place| split(self.comment(place)).1)
            .collect()
    }
}

const REASONS: &str = "coffeeshop.errors.v1.ErrorReason";

/// Every reason.
pub fn reasons() -> Vec<Reason> {
    (1..100).filter_map(|n| Reason::try_from(n).ok()).collect()
}

/// A comment without the errors in it, and the errors.
pub fn split(comment: &str) -> (String, Vec<Listed>) {
    let (mut rest, mut errors) = (String::new(), Vec::<Listed>::new());
    let mut inside = false;
    for line in comment.lines() {
        let begins = begins_an_error(line);
        inside = begins.is_some() || inside && line.starts_with("    ");
        match (begins, errors.last_mut()) {
            (Some(error), _) => errors.push(error),
            (None, Some(error)) if inside => {
                error.text = format!("{} {}", error.text, line.trim());
            }
            _ => rest += &format!("{line}\n"),
        }
    }
    (rest.trim_end().to_owned(), errors)
}

fn begins_an_error(line: &str) -> Option<Listed> {
    let said = line.strip_prefix("  ")?;
    let (code, said) = said.split_once(' ')?;
    let code = (1..=16)
        .map(|n| status::name(Code::from(n)))
        .find(|name| *name == code)?;
    let (word, text) = said
        .trim()
        .split_once([' ', ':', '.', ','])
        .unwrap_or((said.trim(), ""));
    let is_word = |c: char| c.is_ascii_uppercase() || c == '_';
    if !word.chars().all(is_word) {
        return None;
    }
    let reason = Reason::from_str_name(&format!("ERROR_REASON_{word}"));
    let reason = reason.unwrap_or_else(|| panic!("{word} is no reason: {line}"));
    let text = text.trim_start_matches([':', ',', '.', ' ']).to_owned();
    Some(Listed { code, reason, text })
}

/// The comments of a file, by name.
fn comments(file: &FileDescriptorProto) -> Vec<(String, String)> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter_map(|location| {
            let name = name(file, &location.path)?;
            let lines = location.leading_comments().lines();
            let lines: Vec<_> = lines
                .map(|line| line.strip_prefix(' ').unwrap_or(line))
                .collect();
            Some((name, lines.join("\n").trim().to_owned()))
        })
        .collect()
}

/// The full name of what is at a path of descriptor.proto.
fn name(file: &FileDescriptorProto, path: &[i32]) -> Option<String> {
    let package = file.package();
    let at = |n: i32| usize::try_from(n).expect("an index is not negative");
    match *path {
        [4, m] => Some(format!("{package}.{}", file.message_type[at(m)].name())),
        [4, m, 2, f] => {
            let message: &DescriptorProto = &file.message_type[at(m)];
            Some(format!(
                "{package}.{}.{}",
                message.name(),
                message.field[at(f)].name()
            ))
        }
        [4, m, 8, o] => {
            let message = &file.message_type[at(m)];
            Some(format!(
                "{package}.{}.{}",
                message.name(),
                message.oneof_decl[at(o)].name()
            ))
        }
        [5, e] => Some(format!("{package}.{}", file.enum_type[at(e)].name())),
        [5, e, 2, v] => {
            let names: &EnumDescriptorProto = &file.enum_type[at(e)];
            Some(format!(
                "{package}.{}.{}",
                names.name(),
                names.value[at(v)].name()
            ))
        }
        [6, s] => Some(format!("{package}.{}", file.service[at(s)].name())),
        [6, s, 2, c] => {
            let service = &file.service[at(s)];
            Some(format!(
                "{package}.{}/{}",
                service.name(),
                service.method[at(c)].name()
            ))
        }
        _ => None,
    }
}

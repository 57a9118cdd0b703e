//! Checks of single fields, in words that are the same in every service.
//!
//! Each adds what is wrong to the [`Violations`] and goes on.

use crate::status::Violations;
use uuid::Uuid;

/// Characters of a UUID in its usual form.
const UUID_CHARS: usize = 36;

/// A UUID in its hyphenated form, and no other: it is a key, and has one spelling.
pub fn uuid(violations: &mut Violations, field: &str, text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text)
        .ok()
        .filter(|_| text.len() == UUID_CHARS);
    if id.is_none() {
        violations.add(
            field,
            "must be a UUID like 018f3a9e-7c1d-7e2a-9b4c-0123456789ab",
        );
    }
    id
}

/// Text for people: bounded, and without control characters.
pub fn text(
    violations: &mut Violations,
    field: &str,
    text: &str,
    max_chars: usize,
    required: bool,
) {
    length(violations, field, text, max_chars, required);
    if text.chars().any(char::is_control) {
        violations.add(field, "must not contain control characters");
    }
}

/// Text for machines: bounded, printable ASCII without spaces.
pub fn visible_ascii(
    violations: &mut Violations,
    field: &str,
    text: &str,
    max_chars: usize,
    required: bool,
) {
    length(violations, field, text, max_chars, required);
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        violations.add(field, "must be visible ASCII characters, without spaces");
    }
}

fn length(violations: &mut Violations, field: &str, text: &str, max_chars: usize, required: bool) {
    if required && text.trim().is_empty() {
        violations.add(field, "must not be empty");
    }
    if text.chars().count() > max_chars {
        violations.add(field, format!("must have at most {max_chars} characters"));
    }
}

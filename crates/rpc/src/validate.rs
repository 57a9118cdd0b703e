//! Checks of single fields, in words that are the same in every service.
//!
//! Each adds what is wrong to the `Violations` and goes on.

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

#[cfg(test)]
mod tests {
    use super::{text, uuid, visible_ascii};
    use crate::status::Violations;

    fn accepted(check: impl FnOnce(&mut Violations)) -> bool {
        let mut violations = Violations::new();
        check(&mut violations);
        violations.is_empty()
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        let good = "018f3a9e-7c1d-7e2a-9b4c-0123456789ab";
        let bad = [
            "",
            "7",
            "018f3a9e7c1d7e2a9b4c0123456789ab",
            "{018f3a9e-7c1d-7e2a-9b4c-0123456789ab}",
            "urn:uuid:018f3a9e-7c1d-7e2a-9b4c-0123456789ab",
            "018f3a9e-7c1d-7e2a-9b4c-0123456789ag",
        ];
        assert!(accepted(|v| assert!(uuid(v, "order_id", good).is_some())));
        for id in bad {
            assert!(
                !accepted(|v| assert!(uuid(v, "order_id", id).is_none())),
                "{id}"
            );
        }
    }

    #[test]
    fn names_may_be_in_any_script_but_not_long_empty_or_with_control_characters() {
        let name = |t: &str| accepted(|v| text(v, "customer_name", t, 5, true));
        assert!(name("J\u{fc}rg"));
        assert!(
            name("\u{5496}\u{5561}\u{5496}\u{5561}\u{5561}"),
            "characters, not bytes"
        );
        for bad in [
            "",
            "  ",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
            "a\nb",
            "a\u{7f}",
            "a\u{0}",
        ] {
            assert!(!name(bad), "{bad:?}");
        }
        assert!(accepted(|v| text(v, "reason", "", 5, false)));
    }

    #[test]
    fn keys_are_visible_ascii() {
        let key = |t: &str| accepted(|v| visible_ascii(v, "payment_token", t, 8, true));
        assert!(key("tok_1~"));
        for bad in ["", "a b", "tok\u{e9}", "a\tb", "123456789"] {
            assert!(!key(bad), "{bad:?}");
        }
    }
}

//! Text of strangers, for a terminal: a poison message may hold what moves cursors.

use std::time::Duration;

use prost_types::Timestamp;

/// On one line, and harmless.
pub(super) fn clean(text: &str) -> String {
    text.chars().flat_map(harmless).collect()
}

/// The same, line by line.
pub(super) fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(clean).collect();
    lines.join("\n")
}

fn harmless(c: char) -> Vec<char> {
    match c.is_control() {
        true => c.escape_default().collect(),
        false => vec![c],
    }
}

/// At most so many characters.
pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `-` where there is nothing.
pub(super) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// How long ago, in its two biggest units; `-` if nobody knows.
pub(super) fn age(time: Option<&Timestamp>) -> String {
    let Some(seconds) = time.map(|time| now() - time.seconds) else {
        return "-".to_owned();
    };
    let age = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let words = humantime::format_duration(age).to_string();
    words.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// RFC 3339; `-` if there is none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    let nanos = |time: &Timestamp| u32::try_from(time.nanos).unwrap_or_default();
    time.and_then(|time| chrono::DateTime::from_timestamp(time.seconds, nanos(time)))
        .map_or_else(
            || "-".to_owned(),
            |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        )
}

/// `ff41…`.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(clean_lines("caffè\n\u{7}"), "caffè\n\\u{7}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("caffè", 5), "caffè");
        assert_eq!(cut("caffè latte", 5), "caffè…");
    }

    #[test]
    fn an_age_has_two_units() {
        let ago = |seconds| {
            let seconds = now() - seconds;
            age(Some(&Timestamp { seconds, nanos: 0 }))
        };
        assert_eq!(ago(2 * 86_400 + 3 * 3_600 + 5), "2days 3h");
        assert_eq!(ago(-5), "0s");
        assert_eq!(age(None), "-");
    }
}

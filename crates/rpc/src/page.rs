//! Page sizes and opaque page tokens.
//!
//! A token holds the key of the last row that the caller saw, and a checksum over that
//! key, the call and its filters. One that was cut short, or comes from a list with
//! other filters, is told from a good one instead of skipping rows silently.
//!
//! Not a secret: whoever forges one sees what the call would list anyway.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

const CHECKSUM_BYTES: usize = 8;
const DEFAULT_SIZE: i64 = 50;
const MAX_SIZE: i64 = 100;

/// A token for the page after `key`. The filter is the call and its filters in one
/// canonical text.
pub fn encode(filter: &str, key: &str) -> String {
    let mut token = checksum(filter, key).to_vec();
    token.extend_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// The key in a token; none if it was not made by [`encode`] with the same filter.
pub fn decode(filter: &str, token: &str) -> Option<String> {
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sum, key) = token.split_at_checked(CHECKSUM_BYTES)?;
    let key = String::from_utf8(key.to_vec()).ok()?;
    (sum == checksum(filter, &key)).then_some(key)
}

/// How many rows to read for a requested page size: 0 leaves it to us, more than the
/// maximum gets the maximum, and a negative one is a violation.
pub fn size(requested: i32) -> Option<i64> {
    match i64::from(requested) {
        ..0 => None,
        0 => Some(DEFAULT_SIZE),
        size => Some(size.min(MAX_SIZE)),
    }
}

fn checksum(filter: &str, key: &str) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new();
    hash.update(filter);
    hash.update(key);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash.finalize()[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, size};

    #[test]
    fn a_token_gives_its_key_back() {
        for key in ["", "018f3a9e-7c1d-7e2a-9b4c-0123456789ab", "caff\u{e8}"] {
            assert_eq!(
                decode("orders?state=PAID", &encode("orders?state=PAID", key)).as_deref(),
                Some(key)
            );
        }
    }

    #[test]
    fn a_token_of_another_filter_is_foreign() {
        let token = encode("orders?state=PAID", "7");
        assert_eq!(decode("orders?state=READY", &token), None);
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused() {
        let token = encode("orders", "018f3a9e");
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("it is ASCII");
            assert_eq!(decode("orders", &changed), None, "{changed}");
            assert_eq!(decode("orders", &token[..at]), None);
        }
        assert_eq!(decode("orders", "not base64!"), None);
    }

    #[test]
    fn sizes_are_defaulted_capped_and_refused() {
        let sizes = [i32::MIN, -1, 0, 1, 100, 101, i32::MAX].map(size);
        assert_eq!(
            sizes,
            [
                None,
                None,
                Some(50),
                Some(1),
                Some(100),
                Some(100),
                Some(100)
            ]
        );
    }
}

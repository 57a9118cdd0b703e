//! Errors for people: what was wrong, and what to do about it.

use anyhow::{Error, anyhow};
use tonic::Status;
use tonic_types::StatusExt as _;

/// A status with its details, one a line.
pub(super) fn error(status: &Status) -> Error {
    let details = status.get_error_details();
    let mut text = format!("{:?}: {}", status.code(), status.message());
    if let Some(info) = details.error_info() {
        text += &format!("\n  reason {}", info.reason);
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        for (key, value) in metadata {
            text += &format!("\n  {key} {value}");
        }
    }
    for violation in details
        .bad_request()
        .map(|bad| &bad.field_violations[..])
        .unwrap_or_default()
    {
        text += &format!("\n  {}: {}", violation.field, violation.description);
    }
    if let Some(after) = details.retry_info().and_then(|retry| retry.retry_delay) {
        text += &format!("\n  try again in {after:?}");
    }
    text += match details.error_info().map(|info| info.reason.as_str()) {
        Some("INVALID_REQUEST") => {
            "\nWhat can be ordered: grpcurl … ReceptionService/ListMenuItems"
        }
        Some("PAYMENT_DECLINED") => {
            "\nNothing was charged. Order again with another --payment-token."
        }
        _ => "\n`shop status` shows what is ill, `shop logs reception` what it says.",
    };
    anyhow!(text)
}

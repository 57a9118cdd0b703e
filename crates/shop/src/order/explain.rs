//! Errors for people: what was wrong, and what to do about it.

use anyhow::{Error, anyhow};
use tonic::Status;
use tonic_types::StatusExt as _;

/// A status with its details, one a line, and what to do about it.
pub(crate) fn error(status: &Status) -> Error {
    let advice = match reason(status).as_str() {
        "INVALID_REQUEST" => "What can be ordered: grpcurl … ReceptionService/ListMenuItems",
        "ORDER_NOT_CANCELLABLE" => "Nothing has changed: its coffee is made, or it is over.",
        "ORDER_NOT_READY" => "Nothing has changed. `shop order` waits until an order is READY.",
        "ORDER_NOT_FOUND" => "The id is what `shop order` prints.",
        "PAYMENT_DECLINED" => "Nothing was charged. Order again with another --payment-token.",
        _ => "`shop status` shows what is ill, `shop logs reception` what it says.",
    };
    anyhow!("{}\n{advice}", details(status))
}

/// The reason, for programs; empty if there is none.
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

/// A status with its details, one a line.
pub(crate) fn details(status: &Status) -> String {
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
    text
}

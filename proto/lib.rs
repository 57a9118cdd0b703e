//! The contracts: messages and services of every process, and the names of the topics.
//!
//! Generated from the `.proto` files beside this one. The wire's types are always
//! written with their path (`proto::reception::v1::Order`), so that `Order` alone
//! means a service's own.

#![expect(
    clippy::doc_markdown,
    reason = "the comments of the contracts are for every language"
)]
#![expect(
    clippy::too_many_lines,
    reason = "tonic generates one match per service"
)]

/// What every service is paid in.
pub mod money {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coffeeshop.money.v1");
    }
}
/// Orders: calls and events.
pub mod reception {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coffeeshop.reception.v1");
    }
}
/// Tickets: calls and events.
pub mod barista {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coffeeshop.barista.v1");
    }
}
/// The mocked payment provider.
pub mod payments {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coffeeshop.payments.v1");
    }
}
/// Why calls fail.
pub mod errors {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coffeeshop.errors.v1");
    }
}
/// What operators look at.
pub mod operations {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coffeeshop.operations.v1");
    }
}

/// The encoded `FileDescriptorSet` of everything above, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The same with the comments, for docs/api.md.
pub const DOCUMENTED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/documented.bin"));

/// Topic of `reception::v1::OrderEvent`; the key is the order id.
pub const ORDERS_TOPIC: &str = "orders.v1";
/// Topic of `barista::v1::TicketEvent`; the key is the order id.
pub const TICKETS_TOPIC: &str = "tickets.v1";

//! What operators look at and decide, as calls: `coffeeshop.operations.v1`.
//!
//! Each process offers these beside its main service. They are adapters, wire to domain
//! and back; what they do is in the crate of the pattern. They stand apart from both
//! sides, because `messaging` speaks no gRPC, and what `rpc` links is linked by
//! processes that have no broker.

/// `CircuitsService`: which services are not asked at the moment.
pub mod circuits;
/// `DeadLettersService`: what could not be handled, and what becomes of it.
pub mod dead_letters;

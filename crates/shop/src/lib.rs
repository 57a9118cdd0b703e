//! The whole shop on one machine: open it, send customers, check the books.
//!
//! `shop up` finds or starts Postgres and Kafka, then the services, as child processes with logs in
//! `.shop/`. Tests use the same parts through [`servers::Servers`] and [`services::Service`].

// The workspace's other binaries, if they are up to date.
pub mod binaries;
// Is the promise kept? What customers were told against what was stored, made and charged.
pub mod books;
// `shop circuits`: which services are not asked.
pub mod circuits;
// The command line.
pub mod cli;
// Ending what runs, in the right order.
mod closing;
// What they ask for.
pub mod customers;
// A guarded child that tests kill, pause and start again.
pub mod daemon;
// Where a shop keeps its state, data and logs.
pub mod dir;
// A disk that is small enough to be filled.
pub mod disk;
// `shop dlq`: dead letters, looked at, replayed and dropped.
pub mod dlq;
// `shop down`: ends everything.
pub mod down;
// `shop drill`: breaks it for real, and lets the books judge.
pub mod drill;
// A TCP proxy that breaks on command.
pub mod fault;
// `shop fill`: orders that nobody placed.
pub mod fill;
// `shop guard`: a child that dies with its parent.
pub mod guard;
// A whole shop for one test.
pub mod harness;
// What customers asked and were told, on disk.
pub mod history;
// An Apache Kafka of our own.
pub mod kafka;
// `shop load`: how many, how fast, at what cost.
pub mod load;
// Lock files between processes.
mod lock;
// `shop logs`: what a part says.
pub mod logs;
// The pinned servers, fetched once.
pub mod maven;
// `shop messages`: from outbox to inbox, how many, at what cost.
pub mod messages;
// `shop order`: one order, live.
pub mod order;
// `shop overhead`: what tracing costs.
pub mod overhead;
// The parts of a shop, by name.
pub mod part;
// Free ports, and who holds a taken one.
pub mod ports;
// A PostgreSQL of our own, and databases on any.
pub mod postgres;
// How to tell that a part is ready.
pub mod probe;
// Child processes: log, identity, signals.
pub mod process;
// Spinners or lines.
pub mod progress;
// `shop payments`: how the provider behaves.
pub mod provider;
// What services export of spans, metrics and logs, taken over OTLP.
pub mod receiver;
// Postgres and Kafka for tests.
pub mod servers;
// The services as programs.
pub mod services;
// What runs where, on disk.
pub mod state;
// `shop status`: the table of parts.
pub mod status;
// Java and Maven, or what to install.
mod tools;
// `shop trace`: where an order spent its time.
pub mod trace;
// Spans, and the tree that those of one order should be.
pub mod traces;
// `shop up`: opens the shop.
pub mod up;
// `shop watchers`: what it costs that thousands look on.
pub mod watchers;
// `shop cancel` and `shop collect`: what a customer wants later.
pub mod wish;

//! The whole shop on one machine: open it, send customers, check the books.
